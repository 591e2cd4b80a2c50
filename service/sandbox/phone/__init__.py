"""A phone network that speaks Twilio's REST protocol, so that the real Twilio client runs against it.

Numbers with a meaning (no other number is refused for what it is):

| To            | What happens                                                    |
|---------------|-----------------------------------------------------------------|
| +15005550001  | refused, 21211: invalid number                                  |
| +15005550002  | refused, 21612: cannot be reached from this sender              |
| +15005550003  | refused, 21408: no permission for the country                   |
| +15005550004  | refused, 21610: opted out                                       |
| +15005550009  | refused, 21614: no mobile number                                |
| +358400030003 | accepted, then `undelivered` with 30003: handset unreachable    |
| +358400030005 | accepted, then `undelivered` with 30005: unknown subscriber     |
| +358400030006 | accepted, then `undelivered` with 30006: landline               |
| +358400030007 | accepted, then `undelivered` with 30007: filtered by a carrier  |

| From          | What happens                                                    |
|---------------|-----------------------------------------------------------------|
| +15005550001  | refused, 21212: invalid sender                                  |
| +15005550007  | refused, 21606: not a sender of this account                    |
| +15005550008  | refused, 21611: the sender's queue is full                      |

A phone that texted STOP (POST /inbound) is refused with 21610 until it texts START.

ContentRetention=discard and AddressRetention=obfuscate do what Twilio's redaction does: once the text is
sent, fetch and list show an empty body and a number ending in XXXX, and a list by the true number no longer
finds it. The phone and the sandbox's own JSON still show what really arrived.

What is not played: prices, MMS, schedules, SmartEncoded's replacing of characters, other resources of Twilio.
"""
