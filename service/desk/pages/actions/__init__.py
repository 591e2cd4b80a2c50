"""What a caseworker does to a voucher or a visit: each on a page that says what happens and asks why, then once."""

from service.desk.pages.actions.pages import PAGES
from service.desk.pages.actions.vouchers import offered

__all__ = ["PAGES", "offered"]
