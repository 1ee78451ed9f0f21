-- compatible-from: 1
-- What model calls cost: a ledger line a call, and the budgets that it is held to.

-- Money in US dollars. `price_version` names the price table that the cost was worked out with; NULL: the model has no price.
CREATE TABLE usage_ledger (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id       text NOT NULL,
    session_id    uuid,
    turn_id       uuid,
    purpose       text NOT NULL CHECK (purpose IN ('turn', 'summary', 'embedding')),
    model         text NOT NULL,
    price_version text,
    input_tokens  bigint NOT NULL CHECK (input_tokens >= 0),  -- cached ones included
    cached_tokens bigint NOT NULL DEFAULT 0 CHECK (cached_tokens BETWEEN 0 AND input_tokens),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    cost          numeric(20, 10) NOT NULL DEFAULT 0 CHECK (cost >= 0),
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_ledger_by_time ON usage_ledger (user_id, created_at);
CREATE INDEX usage_ledger_by_session ON usage_ledger (session_id);
CREATE INDEX usage_ledger_by_turn ON usage_ledger (turn_id);

-- A limit on what a user spends in a period, or one session in its whole life (session_id set, period 'total').
CREATE TABLE budgets (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id    text NOT NULL,
    session_id uuid,
    period     text NOT NULL CHECK (period IN ('day', 'month', 'total')),
    warn_at    numeric(20, 10) CHECK (warn_at >= 0),  -- a warning event once it is passed
    stop_at    numeric(20, 10) CHECK (stop_at >= 0),  -- no further model call once it is reached
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (user_id, session_id, period),
    CHECK (warn_at IS NOT NULL OR stop_at IS NOT NULL),
    CHECK (session_id IS NULL OR period = 'total')
);

CALL protect_user_table('usage_ledger');
CALL protect_user_table('budgets');
CREATE TRIGGER usage_ledger_immutable BEFORE UPDATE ON usage_ledger FOR EACH ROW EXECUTE FUNCTION refuse_change();
