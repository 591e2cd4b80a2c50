-- History by days of service, of a programme or of all, in the order of the visits: for each of a provider's organisers and
-- programmes a range. By the day alone, a programme that is rare among millions was looked for in all that was charged on
-- those days. It takes the place of the day's index, as every debit pays for each.
CREATE INDEX entries_of_provider_by_programme_and_day
    ON entries (provider_id, organiser_id, programme, service_date, entry_id) WHERE amount > 0;
DROP INDEX entries_of_provider_by_day;
