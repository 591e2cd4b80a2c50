-- History: a provider's debits by any of its filters, without a walk through all of them, however many there are.
-- Every index on `entries` is paid for by each debit, so there is one only where nothing else leads to the rows: the
-- last four of a code and a decision lead there by way of the voucher, reversals and disputes by their own rows.

-- In the order of the visits.
CREATE INDEX entries_of_provider_by_day ON entries (provider_id, service_date, entry_id) WHERE kind = 'debit';
-- Of one organiser's programme; of an organiser, or of a programme, as many ranges as the provider has of them.
CREATE INDEX entries_of_provider_by_programme ON entries (provider_id, organiser_id, programme, entry_id) WHERE kind = 'debit';
CREATE INDEX entries_of_provider_by_worker ON entries (provider_id, worker, entry_id) WHERE kind = 'debit' AND worker IS NOT NULL;
CREATE INDEX entries_taken_back ON entries (provider_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX codes_by_last_four ON codes (last_four);

ALTER TABLE disputes ADD COLUMN provider_id uuid NOT NULL;
CREATE INDEX disputes_open_of_provider ON disputes (provider_id, entry_id) WHERE resolved_at IS NULL;
