-- compatible-from: 1
-- What model calls cost: a ledger line a call, and the budgets that it is held to.

-- What a column may hold stands in its domain wherever rows are written often: a table's CHECK is parsed and planned anew by every
-- statement that writes to the table, whatever it sets; a domain's is kept, and asked only of what is set.
CREATE DOMAIN usage_purpose AS text CHECK (VALUE IN ('turn', 'summary', 'embedding'));
CREATE DOMAIN token_sum AS bigint CHECK (VALUE >= 0);
CREATE DOMAIN us_dollars AS numeric(20, 10) CHECK (VALUE >= 0);
CREATE DOMAIN budget_period AS text CHECK (VALUE IN ('day', 'month', 'total'));

-- Money in US dollars. `price_version` names the price table that the cost was worked out with; NULL: the model has no price.
CREATE TABLE usage_ledger (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id       text NOT NULL,
    session_id    uuid,
    turn_id       uuid,
    purpose       usage_purpose NOT NULL,
    model         text NOT NULL,
    price_version text,
    input_tokens  token_sum NOT NULL,  -- cached ones included
    cached_tokens token_sum NOT NULL DEFAULT 0 CHECK (cached_tokens <= input_tokens),
    output_tokens token_sum NOT NULL,
    cost          us_dollars NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_ledger_by_time ON usage_ledger (user_id, created_at);
CREATE INDEX usage_ledger_by_session ON usage_ledger (session_id);

-- A limit on what a user spends in a period, or one session in its whole life (session_id set, period 'total'). `scope` names
-- either by what is never NULL: a session, or the zero uuid for everything.
CREATE TABLE budgets (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id    text NOT NULL,
    session_id uuid,
    scope      uuid NOT NULL GENERATED ALWAYS AS (coalesce(session_id, '00000000-0000-0000-0000-000000000000')) STORED,
    period     budget_period NOT NULL,
    warn_at    numeric(20, 10) CHECK (warn_at >= 0),  -- a warning event when it is reached
    stop_at    numeric(20, 10) CHECK (stop_at >= 0),  -- no further model call once it is reached
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, scope, period),
    CHECK (warn_at IS NOT NULL OR stop_at IS NOT NULL),
    CHECK (session_id IS NULL OR period = 'total')
);

-- The ledger's running sums, so that a budget costs one look-up however long the ledger is. They are in step with it, because
-- whoever writes a line counts it.
CREATE TABLE usage_totals (
    user_id text NOT NULL,
    scope   uuid NOT NULL,
    period  budget_period NOT NULL,
    starts  date NOT NULL,  -- in UTC; -infinity for 'total'
    cost    numeric(20, 10) NOT NULL,
    PRIMARY KEY (user_id, scope, period, starts)
) WITH (fillfactor = 70);

CALL protect_user_table('usage_ledger');
CALL protect_user_table('budgets');
CALL protect_user_table('usage_totals');
CREATE TRIGGER usage_ledger_immutable BEFORE UPDATE ON usage_ledger FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The first day of the period that `p_at` falls into, in UTC.
CREATE FUNCTION usage_period_start(p_period text, p_at timestamptz) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE p_period
        WHEN 'day' THEN (p_at AT TIME ZONE 'UTC')::date
        WHEN 'month' THEN date_trunc('month', p_at AT TIME ZONE 'UTC')::date
        ELSE '-infinity'::date
    END;

-- Adds what a model call cost to the sums that it counts for, and tells, once each, of the budgets' limits that it reaches. Call it
-- before the transaction's own events: it locks the user's sums, and the event counter comes last.
-- The limits are looked for in a statement of its own, which sees what was committed until the sums were locked: who sets a budget
-- locks its sum too, so a call is either in what they are told was spent, or it finds their limit.
CREATE FUNCTION count_cost(p_user_id text, p_session_id uuid, p_turn_id uuid, p_cost numeric) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO usage_totals AS t (user_id, scope, period, starts, cost)
    SELECT p_user_id, scope, period, usage_period_start(period, now()), p_cost
    FROM (VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 'total'),
                 ('00000000-0000-0000-0000-000000000000', 'month'),
                 ('00000000-0000-0000-0000-000000000000', 'day'),
                 (p_session_id, 'total')) AS summed (scope, period)
    WHERE scope IS NOT NULL AND p_cost > 0
    ON CONFLICT (user_id, scope, period, starts) DO UPDATE SET cost = t.cost + excluded.cost;
    WITH reached AS (
        SELECT b.id, b.period, b.session_id, limits.type, limits.amount, t.cost AS spent
        FROM budgets b
        JOIN usage_totals t ON t.user_id = b.user_id AND t.scope = b.scope AND t.period = b.period
                           AND t.starts = usage_period_start(b.period, now()),
             LATERAL (VALUES ('usage.budget_warning', b.warn_at), ('usage.budget_reached', b.stop_at)) AS limits (type, amount)
        WHERE b.user_id = p_user_id AND b.scope IN ('00000000-0000-0000-0000-000000000000', p_session_id)
          AND limits.amount > t.cost - p_cost AND limits.amount <= t.cost
        ORDER BY limits.amount, b.id
    )
    SELECT append_event(p_user_id, type, 'budgets/' || id, jsonb_strip_nulls(jsonb_build_object(
        'period', period, 'session_id', session_id, 'turn_id', p_turn_id,
        'limit', trim_scale(amount)::text, 'spent', trim_scale(spent)::text)))
    FROM reached
$$;

-- Writes a model call into the ledger, and counts it.
CREATE FUNCTION record_usage(p_user_id text, p_session_id uuid, p_turn_id uuid, p_purpose text, p_model text,
                             p_price_version text, p_input bigint, p_cached bigint, p_output bigint, p_cost numeric)
    RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO usage_ledger (user_id, session_id, turn_id, purpose, model, price_version,
                              input_tokens, cached_tokens, output_tokens, cost)
    VALUES (p_user_id, p_session_id, p_turn_id, p_purpose, p_model, p_price_version, p_input, p_cached, p_output, p_cost);
    SELECT count_cost(p_user_id, p_session_id, p_turn_id, p_cost::numeric(20, 10))  -- as the ledger has it
$$;

-- The budgets under which no further call may be made: of the user, and of this session.
CREATE FUNCTION exhausted_budgets(p_user_id text, p_session_id uuid)
    RETURNS TABLE (id uuid, period text, session_id uuid, stop_at numeric, spent numeric)
    LANGUAGE sql STABLE AS $$
    SELECT b.id, b.period, b.session_id, b.stop_at, coalesce(t.cost, 0)
    FROM budgets b
    LEFT JOIN usage_totals t ON t.user_id = b.user_id AND t.scope = b.scope AND t.period = b.period
                            AND t.starts = usage_period_start(b.period, now())
    WHERE b.user_id = p_user_id AND b.scope IN ('00000000-0000-0000-0000-000000000000', p_session_id)
      AND b.stop_at <= coalesce(t.cost, 0)
$$;
