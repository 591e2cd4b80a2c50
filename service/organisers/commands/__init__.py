"""What operators do with organisers, regions, programmes and their rules."""

from service.organisers.commands.organisers import organiser_app, programme_app, region_app

__all__ = ["organiser_app", "programme_app", "region_app"]
