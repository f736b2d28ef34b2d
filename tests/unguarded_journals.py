"""What takes the guard from the journal, and what is then found: the trigger, the problem."""

APPEND_ONLY, NO_TRUNCATE = "transaction_append_only", "transaction_no_truncate"
POSTGRES_UNGUARDS = [
    (f'DROP TRIGGER {APPEND_ONLY} ON "transaction"', "missing", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" DISABLE TRIGGER {APPEND_ONLY}', "disabled", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" ENABLE REPLICA TRIGGER {NO_TRUNCATE}', "disabled", [NO_TRUNCATE]),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE DELETE ON "transaction"
        FOR EACH ROW EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE UPDATE OR DELETE ON "transaction"
        FOR EACH ROW WHEN (OLD.amount > 5) EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        """CREATE OR REPLACE FUNCTION transaction_is_append_only() RETURNS trigger
        LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'""",
        "changed",
        [APPEND_ONLY, NO_TRUNCATE],
    ),
]
SQLITE_UNGUARDS = [
    ([f"DROP TRIGGER {APPEND_ONLY}"], APPEND_ONLY, "missing"),
    (["DROP TRIGGER transaction_no_delete"], "transaction_no_delete", "missing"),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f'CREATE TRIGGER {APPEND_ONLY} BEFORE UPDATE ON "transaction" BEGIN SELECT 1; END',
        ],
        APPEND_ONLY,
        "changed",
    ),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f"""CREATE TRIGGER {APPEND_ONLY} BEFORE INSERT ON "transaction"
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        ],
        APPEND_ONLY,
        "changed",
    ),
]
