"""Which pages of the staff's screens have a form."""

from shop.toolkit.staff.admin import ServicePage


def slugs_of_pages() -> set[str]:
    """Return the ends of the addresses of all pages with a form."""
    found, left = set(), [ServicePage]
    while left:
        page = left.pop()
        left += page.__subclasses__()
        if "slug" in vars(page):
            found.add(page.slug)
    return found
