"""Function words by language: articles, pronouns, prepositions, conjunctions, auxiliaries. They find nothing and cost
time.

The lists are short on purpose. A word that can carry meaning ("will", "may" and "can" among the nouns aside) is left to
its document frequency.
"""

from __future__ import annotations

from functools import lru_cache

_LISTS = {
    "simple": "",
    "english": """
        a about above after again against all am an and any are aren as at be because been before being below between
        both but by can cannot could couldn did didn do does doesn doing don down during each few for from further had
        hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself
        just ll me more most mustn my myself no nor not now of off on once only or other our ours ourselves out over own
        re s same shan she should shouldn so some such t than that the their theirs them themselves then there these
        they this those through to too under until up ve very was wasn we were weren what when where which while who
        whom why will with won would wouldn you your yours yourself yourselves""",
    "german": """
        aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass dein
        deine dem den denn der des die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem
        einen einer eines er es etwas euch euer für gegen hab habe haben hat hatte hatten hier hin hinter ich ihm ihn
        ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes kann kein keine keinem keinen
        keiner können könnte machen man mein meine mich mir mit muss müssen nach nicht noch nun nur ob oder ohne sehr
        sein seine seinem seinen seiner sich sie sind so soll sollte sondern um und uns unser unter viel vom von vor war
        waren was weil welche welcher wenn wer werde werden wie wieder will wir wird wo wurde wurden würde zu zum zur
        zwischen über""",
    "french": """
        a ai aie ait as au aucun aussi autre aux avait avec avez avoir avons c ce ceci cela celle celles celui ces cet
        cette ceux chaque chez comme d dans de des donc dont du elle elles en encore entre es est et étaient était
        étant été être eu eux fait il ils j je l la le les leur leurs lui là m ma mais me mes moi mon même n ne nos
        notre nous on ont ou où par pas peu peut plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s
        sa sans se sera ses si soit son sont sous sur t ta te tes toi ton tous tout toute toutes tu un une vers vos
        votre vous y à""",
    "spanish": """
        a al algo algunas algunos ante antes aquel aquella como con contra cual cuando de del desde donde dos durante
        e el él ella ellas ellos en entre era eran es esa esas ese eso esos esta está están estas este esto estos fue
        fueron ha había han has hasta hay he la las le les lo los más me mi mis mucho muchos muy más nada ni no nos
        nosotros nuestra nuestro o os otra otras otro otros para pero por porque que qué quien quienes se sea ser si
        sí sido sin sobre son su sus también tan tanto te tenemos tener tengo ti tiene tienen todo todos tu tus un una
        uno unos y ya yo""",
    "italian": """
        a ad agli ai al alla alle allo anche avere aveva c che chi ci come con contro cui da dagli dai dal dalla dalle
        dallo degli dei del della delle dello di dove e è ed era erano essere fa fra gli ha hai hanno ho i il in io l
        la le lei li lo loro lui ma me mi mia mie miei mio molto ne negli nei nel nella nelle nello noi non nostra
        nostro o per perché più quale quando quanto quella quelle quelli quello questa queste questi questo se sei si
        sia siamo siete solo sono sta stato su sua sue sugli sui sul sulla sulle sullo suo suoi te ti tra tu tua tuo
        tutti tutto un una uno vi voi""",
    "portuguese": """
        a ao aos aquela aquele aqui as até com como da das de dela dele depois do dos e é ela elas ele eles em entre era
        eram essa esse esta está estão estas este estes eu foi foram há isso isto já lhe lhes mais mas me mesmo meu
        minha muito na não nas nem no nos nós nossa nosso num numa o os ou para pela pelas pelo pelos por porque qual
        quando que quem se seja sem ser será seu seus só são sua suas também te tem têm tinha tu um uma você vocês vos
        à às""",
    "dutch": """
        aan al alles als altijd andere ben bij daar dan dat de der deze die dit doch doen door dus een eens en er ge
        geen geweest haar had heb hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je kan kon kunnen maar
        me meer men met mij mijn moet na naar niet niets nog nu of om omdat onder ons ook op over reeds te tegen toch
        toen tot u uit uw van veel voor want waren was wat werd wezen wie wij wil worden wordt zal ze zelf zich zij
        zijn zo zonder zou""",
    "swedish": """
        alla allt att av bara blev bli blir de dem den denna deras dess det detta dig din dina du där då efter ej
        eller en er era ett från för ha hade han hans har henne hennes hon honom hur här i icke in ingen inte jag ju
        kan kunde man med mellan men mig min mina mot mycket ni nu när någon något några och om oss på samma sedan sig
        sin sina sitta själv skulle som så till under upp ut utan vad var vara varför vart vem vi vid vilken vår våra
        än är över""",
}
LANGUAGES = tuple(_LISTS)
"""What a collection's `language` may be. `simple` neither stems nor drops words: for mixed or other languages."""


@lru_cache(maxsize=len(_LISTS))
def stop_words(language: str) -> frozenset[str]:
    return frozenset(_LISTS[language].split())
