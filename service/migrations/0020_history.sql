-- History: a provider's debits by any of its filters, without a walk through all of them, however many there are.
-- Every index on `entries` is paid for by each debit, so there is one only where nothing else leads to the rows: the
-- last four of a code and a decision lead there by way of the voucher, reversals and disputes by their own rows.
--
-- What is a debit the first three tell by its amount, as only history's questions do: told by its kind, the planner takes
-- the first of them for the search of a double visit, too, and that reads all that a provider charged on the day.

-- In the order of the visits.
CREATE INDEX entries_of_provider_by_day ON entries (provider_id, service_date, entry_id) WHERE amount > 0;
-- Of one organiser's programme; of an organiser, or of a programme, as many ranges as the provider has of them.
CREATE INDEX entries_of_provider_by_programme ON entries (provider_id, organiser_id, programme, entry_id) WHERE amount > 0;
CREATE INDEX entries_of_provider_by_worker ON entries (provider_id, worker, entry_id) WHERE amount > 0 AND worker IS NOT NULL;
CREATE INDEX entries_taken_back ON entries (provider_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX codes_by_last_four ON codes (last_four);

ALTER TABLE disputes ADD COLUMN provider_id uuid NOT NULL;
CREATE INDEX disputes_open_of_provider ON disputes (provider_id, entry_id) WHERE resolved_at IS NULL;
