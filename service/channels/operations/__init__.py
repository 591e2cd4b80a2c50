"""The use cases of delivery, each one transaction. Other nouns call `queue_message` and its like in theirs."""

from service.channels.operations.delivery import Delivery, DeliverySettings, Images, Repair, SecretFields
from service.channels.operations.inbound import Incoming, Inquiry, Reception, Replied, take_text
from service.channels.operations.outbox import (
    queue_message,
    queue_messages,
    suppress_pending,
    timeline,
)
from service.channels.operations.pauses import (
    ChannelStatus,
    Health,
    Pause,
    Resumed,
    channel_statuses,
    delivery_health,
    list_pauses,
    pause,
    resume,
    show_health,
)
from service.channels.operations.receipts import ReceiptGroup, Report, receipt_group, record_receipts
from service.channels.operations.sending import Answered, Sending, claim_due, claim_probes, record_answers
from service.channels.operations.suppressions import (
    Suppressed,
    contact_indexes,
    lift,
    rotate_suppressions,
    standing,
    suppress,
    suppress_all,
)
from service.channels.operations.upkeep import (
    BATCH,
    Silent,
    claim_silent,
    decide_failures,
    expire_leases,
    fail_held,
    look_up,
)
from service.channels.queries.receipts import Effect

__all__ = [
    "BATCH",
    "Answered",
    "ChannelStatus",
    "Delivery",
    "DeliverySettings",
    "Effect",
    "Health",
    "Images",
    "Incoming",
    "Inquiry",
    "Pause",
    "ReceiptGroup",
    "Reception",
    "Repair",
    "Replied",
    "Report",
    "Resumed",
    "SecretFields",
    "Sending",
    "Silent",
    "Suppressed",
    "channel_statuses",
    "claim_due",
    "claim_probes",
    "claim_silent",
    "contact_indexes",
    "decide_failures",
    "delivery_health",
    "expire_leases",
    "fail_held",
    "lift",
    "list_pauses",
    "look_up",
    "pause",
    "queue_message",
    "queue_messages",
    "receipt_group",
    "record_answers",
    "record_receipts",
    "resume",
    "rotate_suppressions",
    "show_health",
    "standing",
    "suppress",
    "suppress_all",
    "suppress_pending",
    "take_text",
    "timeline",
]
