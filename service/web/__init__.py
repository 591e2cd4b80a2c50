"""The HTTP edge: who calls, what was asked, what is answered.

A handler is a plain function from a Call to a Reply; what stands in its Route (permission, models, errors) is done
here, once, for all of them, and is what the OpenAPI document is made from. Errors become RFC 9457 problem documents.
Knows no noun.
"""

from service.web.calls import (
    AnswerModel,
    Call,
    Caller,
    EdgeResources,
    Handler,
    ProblemModel,
    QueryModel,
    Reply,
    RequestModel,
    Route,
    Stream,
)
from service.web.edge import MAX_BODY_BYTES, add_routes, edge, once, problem_reply
from service.web.errors import EDGE_ERRORS, status_of

__all__ = [
    "EDGE_ERRORS",
    "MAX_BODY_BYTES",
    "AnswerModel",
    "Call",
    "Caller",
    "EdgeResources",
    "Handler",
    "ProblemModel",
    "QueryModel",
    "Reply",
    "RequestModel",
    "Route",
    "Stream",
    "add_routes",
    "edge",
    "once",
    "problem_reply",
    "status_of",
]
