"""The foundation of the HTML pages: who looks, what was filled in, what is shown. Knows no noun.

A page is a plain function from a PageCall to a reply; what stands in its PageRoute (roles, size, which form shows its
errors) is done here, once, for all of them: the session, CSRF, the headers, the language, errors as pages. How to add
one: docs/pages.md.
"""

from service.web.pages.assets import ASSET_ROUTES, asset_address, third_party_address
from service.web.pages.calls import (
    FormModel,
    Note,
    NoteKind,
    PageCall,
    PageHandler,
    PageReply,
    PageResources,
    PageRoute,
    Visitor,
    errors_by_field,
)
from service.web.pages.csrf import session_cookie_name
from service.web.pages.edge import add_pages, page_edge, page_headers
from service.web.pages.rendering import redirect, render
from service.web.pages.ways import FRONT, PUBLIC_FRONT, home_address, safe_next
from service.web.pages.words import N_, PAGE_LANGUAGES, translations

__all__ = [
    "ASSET_ROUTES",
    "FRONT",
    "N_",
    "PAGE_LANGUAGES",
    "PUBLIC_FRONT",
    "FormModel",
    "Note",
    "NoteKind",
    "PageCall",
    "PageHandler",
    "PageReply",
    "PageResources",
    "PageRoute",
    "Visitor",
    "add_pages",
    "asset_address",
    "errors_by_field",
    "home_address",
    "page_edge",
    "page_headers",
    "redirect",
    "render",
    "safe_next",
    "session_cookie_name",
    "third_party_address",
    "translations",
]
