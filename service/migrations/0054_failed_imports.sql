-- Files of decisions that failed before that put them on the list of what needs a person.
INSERT INTO attention (organiser_id, attention_id, reason, subject_id, opened_at)
SELECT organiser_id, gen_random_uuid(), 'import_failed', import_id, ended_at FROM imports WHERE state = 'failed';
