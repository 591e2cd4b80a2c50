-- A decision_ref names a decision that made a voucher or a later one that changed a voucher, never both. Each table has its
-- unique constraint; between the two, rivals at the same moment were not seen, as neither reads what the other has not
-- committed. Decisions of an organiser are stored side by side (shared), a later one on its own; each then looks into the
-- other table, which it sees as it is after the lock. Once for a statement, however many rows: an import pays it per chunk.
CREATE FUNCTION check_new_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('decisions of ' || o.organiser_id, 0))
       FROM (SELECT DISTINCT organiser_id FROM stored ORDER BY organiser_id) o;
    -- By the index, row for row: the plan is kept, and one made for a chunk of thousands would read all for one.
    PERFORM FROM stored s, LATERAL (
        SELECT FROM decision_versions k WHERE k.organiser_id = s.organiser_id AND k.decision_ref = s.decision_ref LIMIT 1) k;
    IF FOUND THEN
        RAISE unique_violation USING MESSAGE = 'a later decision has this decision_ref', CONSTRAINT = 'decision_ref_names_one';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_later_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('decisions of ' || o.organiser_id, 0))
       FROM (SELECT DISTINCT organiser_id FROM stored ORDER BY organiser_id) o;
    PERFORM FROM stored s, LATERAL (
        SELECT FROM decisions k WHERE k.organiser_id = s.organiser_id AND k.decision_ref = s.decision_ref LIMIT 1) k;
    IF FOUND THEN
        RAISE unique_violation USING MESSAGE = 'a decision has this decision_ref', CONSTRAINT = 'decision_ref_names_one';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER decisions_names_one AFTER INSERT ON decisions REFERENCING NEW TABLE AS stored
    FOR EACH STATEMENT EXECUTE FUNCTION check_new_decisions();
CREATE TRIGGER decision_versions_names_one AFTER INSERT ON decision_versions REFERENCING NEW TABLE AS stored
    FOR EACH STATEMENT EXECUTE FUNCTION check_later_decisions();
