"""Amounts of money: a Decimal and an ISO 4217 currency code, exact to the currency's minor unit."""

from decimal import Decimal

from iso4217 import Currency

MAX_DIGITS = 15
DECIMAL_PLACES = 3  # the most that a currency in use has (BHD, KWD, TND ...)

# Codes without a minor unit (gold, test codes) and funds with four decimals are no means of payment.
EXPONENTS: dict[str, int] = {
    currency.code: currency.exponent
    for currency in Currency
    if currency.exponent is not None and currency.exponent <= DECIMAL_PLACES
}


_MINOR_UNITS = {code: Decimal(1).scaleb(-exponent) for code, exponent in EXPONENTS.items()}


def to_minor_unit(amount: Decimal, currency: str) -> Decimal:
    """Return `amount` with as many decimals as the currency has: 9.9 EUR is 9.90, 500.000 JPY is 500."""
    return amount.quantize(_MINOR_UNITS[currency])


def fits(amount: Decimal, currency: str) -> bool:
    """Tell whether `amount` is a whole number of the currency's minor units."""
    return amount == to_minor_unit(amount, currency)
