"""How the staff's screens look, and what is in their sidebar."""

from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, view: str, permission: str) -> dict[str, object]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{view}_changelist"),
        "permission": lambda request: request.user.has_perm(permission),
    }


UNFOLD = {
    "SITE_TITLE": "Shop",
    "SITE_HEADER": "Shop",
    "SITE_SYMBOL": "inventory_2",
    "SITE_URL": "/api/docs",
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "shop.dashboard.context",
    "SHOW_BACK_BUTTON": True,
    "SCRIPTS": [lambda request: static("shop/forms.js")],
    "LOGIN": {"form": "users.forms.LoginForm"},
    # Blue: the theme's own purple is too dark to be read on its dark pages.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(67% .19 256)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "title": "Stock",
                "items": [
                    _page("Items", "inventory_2", "inventory_item", "inventory.view_item"),
                    _page("Imports", "upload_file", "inventory_stockimport", "inventory.view_stockimport"),
                    _page("Counts", "fact_check", "inventory_count", "inventory.view_count"),
                    _page("Reservations", "lock_clock", "inventory_reservation", "inventory.view_reservation"),
                    _page("Warehouses", "warehouse", "inventory_warehouse", "inventory.view_warehouse"),
                    _page("Who works where", "badge", "inventory_warehousescope", "inventory.view_warehousescope"),
                ],
            },
            {
                "title": "Shop",
                "items": [
                    _page("Orders", "receipt_long", "orders_order", "orders.view_order"),
                    _page("Products", "sell", "products_product", "products.view_product"),
                    _page("Users", "group", "users_user", "users.view_user"),
                ],
            },
        ],
    },
}
