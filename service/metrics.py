"""Every Prometheus metric of the service. Labels are from closed sets: never a code, a contact, a key or an id (I6)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DELIVERY_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)

requests_s = Histogram(
    "seteli_request_seconds", "Time to answer a request", ["method", "route", "status"], buckets=FAST_S
)
debit_s = Histogram("seteli_debit_seconds", "Time to answer a debit", ["outcome"], buckets=FAST_S)
debit_refusals = Counter("seteli_debit_refusals_total", "Debits refused, by reason", ["reason"])
debit_groups = Histogram(
    "seteli_debit_group_size", "Debits that shared one transaction", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
code_misses = Counter("seteli_code_misses_total", "Well-formed codes that were not the asking provider's business")
code_misses_today = Gauge("seteli_code_misses_today", "Misses of the whole installation in the last 24 hours")
guess_breaker = Gauge("seteli_guess_breaker", "1 from so many misses that a person must look until one has")
guess_breaker_trips = Counter("seteli_guess_breaker_trips_total", "Times the breaker for guessing tripped")
database_unavailable = Counter("seteli_database_unavailable_total", "Requests answered 503 because of the database")
seal_keys_missing = Counter(
    "seteli_seal_keys_missing_total", "Requests that failed because ENCRYPTION_KEYS lacks the key of what they needed"
)

decision_to_accepted_s = Histogram(
    "seteli_decision_to_accepted_seconds",
    "From the message's row to the gateway's acceptance",
    ["channel"],
    buckets=DELIVERY_S,
)
accepted_to_delivered_s = Histogram(
    "seteli_accepted_to_delivered_seconds",
    "From the gateway's acceptance to the delivery receipt",
    ["channel"],
    buckets=DELIVERY_S,
)
queue_age_s = Gauge("seteli_queue_age_seconds", "Age of the oldest message that is due and not sent")
gateway_paused = Gauge("seteli_gateway_paused", "1 while a gateway is paused, for whatever reason", ["gateway"])
gateway_pauses = Counter("seteli_gateway_pauses_total", "Pauses of a gateway, by who began them", ["gateway", "by"])
unclassified = Counter("seteli_unclassified_total", "Failures with a code that no table knows", ["gateway"])
budget_used = Gauge("seteli_budget_used_ratio", "Share of the day's budget of parts that is spent", ["gateway"])
budget_alerts = Counter("seteli_budget_alerts_total", "Days on which 80 % of the budget was spent", ["gateway"])
held_back = Counter("seteli_held_back_total", "Messages that a limit did not let through", ["gateway", "limit"])
attempts = Counter("seteli_attempts_total", "Calls to gateways, by answer", ["gateway", "outcome", "code"])
receipts = Counter(
    "seteli_receipts_total",
    "Receipts, by what they said, what that asks of us, and what they did",
    ["gateway", "status", "action", "effect"],
)
stale_writes = Counter("seteli_stale_writes_total", "Answers that came under an old fence and changed nothing")
unknowns = Counter(
    "seteli_unknowns_total", "Attempts with unknown outcome, by how they ended", ["gateway", "resolution"]
)
suppressions = Counter("seteli_suppressions_total", "Contacts put on the suppression list", ["channel", "reason"])
inbound_texts = Counter(
    "seteli_inbound_texts_total", "Texts from families, by what they asked and got", ["intent", "effect"]
)
wakeups_failed = Counter("seteli_wakeups_failed_total", "Wake-ups that Redis did not take; the sweep finds the work")
scheduled = Counter(
    "seteli_scheduled_total", "What the calendar did: holds lapsed, changes applied, vouchers expired, closed", ["kind"]
)
