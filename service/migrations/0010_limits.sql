-- Pauses that one bad recipient cannot keep up, digests that outlive their key knowingly, budgets, claims by channel.

-- How often this message met a fault of the gateway's set-up, and when last: a probe is rather another one.
ALTER TABLE messages ADD COLUMN pauses_caused smallint NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN blamed_at timestamptz;
-- When the gateway stopped carrying; paused_at is when it was last found still not to.
ALTER TABLE gateway_pauses ADD COLUMN began_at timestamptz NOT NULL DEFAULT now();
-- When a probe last got through: what is refused after that is not the whole gateway's fault.
CREATE TABLE gateway_probes (
    gateway   text PRIMARY KEY,
    passed_at timestamptz NOT NULL
);

-- The key of body_digest. A text whose digest cannot be made again is not "absent": we cannot know it when we see it.
ALTER TABLE attempts ADD COLUMN body_key text;

-- What a person has allowed on top of the day's budget.
ALTER TABLE gateway_spend ADD COLUMN extra bigint NOT NULL DEFAULT 0;

-- Each channel is claimed by itself, so that many waiting texts do not stand before a mail, nor the other way round.
DROP INDEX messages_due;
CREATE INDEX messages_due ON messages (state, channel, priority, due_at) WHERE due_at IS NOT NULL;
