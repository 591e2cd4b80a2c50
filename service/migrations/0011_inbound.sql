-- Why a message was not sent although nothing was wrong with it: what stood against its contact (suppressions.reason).
ALTER TABLE messages ADD COLUMN suppressed_for text;

-- A keyed digest tells that a text repeats itself, or is one of ours that came back; nobody can read it.
ALTER TABLE inbound_texts ADD COLUMN body_digest bytea;
-- Whoever texts us without a voucher is answered so many times a day in all.
CREATE INDEX inbound_texts_of_strangers ON inbound_texts (received_at) WHERE effect = 'stranger_answered';
-- Who wrote when is forgotten after a month.
CREATE INDEX inbound_texts_by_time ON inbound_texts (received_at);
