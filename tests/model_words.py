"""The words of the model: what is asked and answered, and what tables hold."""

from typing import NamedTuple

Place = tuple[int, int]  # of a transaction: its user and its number in the user's history


class Ask(NamedTuple):
    verb: str
    user: int = 0
    product: int | None = None
    quantity: int | None = None
    expected_price: int | None = None
    amount: int = 0
    reference: str | None = None
    target: Place = (0, 0)
    if_spent: str = ""
    key: str | None = None
    price: int = 0
    is_active: bool = True

    def __repr__(self) -> str:
        given = {
            name: value for name, value in self._asdict().items() if value != DEFAULTS.get(name)
        }
        return f"Ask({', '.join(f'{name}={value!r}' for name, value in given.items())})"


DEFAULTS = Ask._field_defaults


class Product(NamedTuple):
    price: int
    is_active: bool
    is_permanent: bool


class Row(NamedTuple):
    """What is told of a transaction, and what its row holds."""

    kind: str
    key: str | None
    status: str
    code: str | None
    amount: int
    product: int | None
    quantity: int | None
    reference: str | None
    target: Place | None
    shortfall: int | None
    balance: int | None
    debt: int | None
    held: int | None
    settled_seq: int | None


class Done(NamedTuple):
    place: Place
    row: Row
    balance: int
    debt: int
    held: int | None
    product: Product | None
    is_replay: bool


class Refused(NamedTuple):
    code: str
    data: tuple[object, ...]
    is_replay: bool = False


class Tables(NamedTuple):
    users: dict[int, tuple[int, int, int, bool]]  # balance, debt, last_seq, whether deleted
    products: dict[int, Product]
    items: dict[tuple[int, int], int]
    rows: dict[Place, Row]
    references: dict[str, int]


Answer = Done | Refused | Product | tuple[int, int, int, bool]
