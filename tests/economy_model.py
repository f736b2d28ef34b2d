"""The economy as a few dicts: what every answer must be, and what every table must hold.

Nothing here is taken from the service: it is what `docs/` promises, once more, as short as can be.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.model_words import Answer, Ask, Done, Place, Product, Refused, Row, Tables

LIMIT = 2**53 - 1
KINDS = {"add": "top_up", "begin": "top_up", "revoke": "revocation", "reverse": "reversal"}
KINDS |= dict.fromkeys(("complete", "fail", "expire"), "top_up_settlement")
ENDS = {"complete": "COMPLETED", "fail": "PAYMENT_FAILED", "expire": "TOP_UP_EXPIRED"}
NOT_FOR_DELETED_USERS = ("purchase", "use", "add", "begin", "grant")


def first_of(**reasons: object) -> str | None:
    return next((code for code, is_so in reasons.items() if is_so), None)


@dataclass
class Economy:
    products: dict[int, Product]
    worth: dict[int, int]  # of each user: balance less debt
    deleted: set[int] = field(default_factory=set)
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    rows: dict[Place, Row] = field(default_factory=dict)
    last_seq: dict[int, int] = field(default_factory=dict)
    asked: dict[tuple[object, ...], tuple[Ask, Place]] = field(default_factory=dict)  # by key

    def copy(self) -> "Economy":
        return Economy(**{name: value.copy() for name, value in vars(self).items()})

    def user(self, user: int) -> tuple[int, int, int, bool]:
        worth = self.worth[user]
        return max(worth, 0), max(-worth, 0), self.last_seq.get(user, 0), user in self.deleted

    def references(self) -> dict[str, int]:
        alive = [(row.reference, place[0]) for place, row in self.rows.items() if not row.code]
        return {reference: user for reference, user in alive if reference}

    def pending(self) -> list[Place]:
        return [place for place, row in self.rows.items() if row.status == "pending"]

    def tables(self) -> Tables:
        users = {user: self.user(user) for user in self.worth}
        return Tables(users, self.products, self.held, self.rows, self.references())

    def answer(self, ask: Ask) -> Answer:
        """What the ask is answered; the economy is what it is after it."""
        first, place = self.asked.get(_name(ask), (ask, None))
        if refusal := self._refusal(ask, first, place):
            return refusal
        if place is not None:
            return self._told(place, is_replay=True)
        if ask.verb == "edit":
            edited = self.products[ask.product or 0]._replace(
                price=ask.price, is_active=ask.is_active
            )
            self.products[ask.product or 0] = edited
            return edited
        if ask.verb == "delete":
            self.deleted.add(ask.user)
            return self.user(ask.user)
        if ask.verb in ENDS:
            return self._settled(ask)
        return self._reversed(ask) if ask.verb == "reverse" else self._posted(ask)

    def _refusal(self, ask: Ask, first: Ask, place: Place | None) -> Refused | None:
        """What is no outcome: nothing remembers it."""
        product, target = self.products.get(ask.product or 0), self.rows.get(ask.target)
        is_about_one, is_new = ask.verb in ENDS or ask.verb == "reverse", place is None
        is_others = ask.target[0] != ask.user or (ask.verb in ENDS and not _is_top_up(target))
        is_deleted = ask.user in self.deleted and ask.verb in NOT_FOR_DELETED_USERS
        is_one_at_a_time = product and product.is_permanent and ask.verb in ("purchase", "grant")
        code = first_of(
            USER_NOT_FOUND=ask.verb != "edit" and ask.user not in self.worth,
            IDEMPOTENCY_KEY_REUSED=first != ask,
        ) or first_of(
            USER_NOT_FOUND=is_new and is_deleted,
            PRODUCT_NOT_FOUND=is_new and ask.product is not None and product is None,
            INVALID_INPUT=is_new and is_one_at_a_time and ask.quantity != 1,
            TRANSACTION_NOT_FOUND=is_about_one and (target is None or is_others),
        )
        data = {"USER_NOT_FOUND": str(ask.user), "PRODUCT_NOT_FOUND": str(ask.product)}
        data |= {"IDEMPOTENCY_KEY_REUSED": str(ask.key), "INVALID_INPUT": "quantity"}
        return Refused(code, (data.get(code, ask.target),)) if code else None

    def _posted(self, ask: Ask) -> Answer:
        worth, quantity, coins, units = self.worth[ask.user], ask.quantity or 0, ask.amount, 0
        price, is_active, is_permanent = self.products.get(
            ask.product or 0, Product(0, True, False)
        )
        held, reasons = self._held(ask.user, ask.product), dict[str, bool]()
        if ask.verb == "purchase":
            coins, units = -price * quantity, quantity
            reasons["PRODUCT_UNAVAILABLE"] = not is_active
        if ask.verb in ("purchase", "grant"):
            units = quantity
            reasons["ALREADY_OWNED"] = is_permanent and held > 0
            reasons["PRICE_CHANGED"] = ask.expected_price not in (None, price)
        if ask.verb in ("use", "revoke"):
            units = -quantity
            reasons["PRODUCT_NOT_CONSUMABLE"] = ask.verb == "use" and is_permanent
            reasons["NOT_ENOUGH_ITEMS"] = held < quantity
        if ask.verb == "debit":
            coins = -ask.amount
        reasons["INSUFFICIENT_FUNDS"] = coins < 0 and max(worth, 0) < -coins
        reasons["ALREADY_TAKEN"] = ask.reference in self.references()
        reasons["BALANCE_LIMIT"] = worth + coins > LIMIT
        return self._write(ask, first_of(**reasons), coins, units)

    def _reversed(self, ask: Ask) -> Answer:
        target = self.rows[ask.target]
        worth, amount, quantity = self.worth[ask.user], target.amount, target.quantity or 1
        is_completed = target.kind in ("purchase", "top_up") and target.status == "completed"
        is_reversed = any(
            row.kind == "reversal" and row.target == ask.target and not row.code
            for place, row in self.rows.items()
            if place[0] == ask.user
        )
        is_purchase, is_strict = target.kind == "purchase", ask.if_spent == "refuse"
        taken = min(self._held(ask.user, target.product), quantity) if is_purchase else 0
        coins = amount * taken // quantity if is_purchase else -amount
        missing = amount - coins if is_purchase else max(amount - max(worth, 0), 0)
        code = first_of(
            NOT_REVERSIBLE=not is_completed,
            ALREADY_REVERSED=is_reversed,
            NOT_ENOUGH_ITEMS=is_purchase and is_strict and taken < quantity,
            INSUFFICIENT_FUNDS=not is_purchase and is_strict and missing > 0,
            BALANCE_LIMIT=not -LIMIT <= worth + coins <= LIMIT,
        )
        columns = {"product": target.product, "quantity": target.quantity, "amount": amount}
        if code is None:
            columns |= {"quantity": taken if is_purchase else None, "amount": abs(coins)}
        shortfall = missing if code is None else None
        return self._write(ask, code, coins, -taken, shortfall=shortfall, **columns)

    def _settled(self, ask: Ask) -> Answer:
        target, end = self.rows[ask.target], ENDS[ask.verb]
        is_so = target.status == ("completed" if ask.verb == "complete" else "failed")
        if target.status != "pending" and (is_so or ask.verb == "expire"):
            return self._booked(ask.target, is_replay=True)
        if target.status != "pending":
            return self._write(ask, target.code or "TOP_UP_COMPLETED", amount=target.amount)
        is_too_much = self.worth[ask.user] + target.amount > LIMIT
        code = first_of(BALANCE_LIMIT=is_too_much) if ask.verb == "complete" else end
        if code is None:
            self.worth[ask.user] += target.amount
        self.last_seq[ask.user] += 1
        balance, debt, seq, _ = self.user(ask.user)
        self.rows[ask.target] = row = target._replace(
            status="failed" if code else "completed",
            code=code,
            balance=balance,
            debt=debt,
            settled_seq=seq,
        )
        if ask.verb == "complete" and code:
            return Refused(code, _data(row))
        return self._told(ask.target, is_replay=False)

    def _write(
        self,
        ask: Ask,
        code: str | None,
        coins: int = 0,
        units: int = 0,
        **columns: Any,
    ) -> Answer:
        """A new row, and what it moves. Of a decline `amount` is what was attempted."""
        is_pending = ask.verb == "begin" and code is None
        product = columns.get("product", ask.product)
        if code is None and not is_pending:
            self.worth[ask.user] += coins
            if product is not None:
                self.held[ask.user, product] = self._held(ask.user, product) + units
        self.last_seq[ask.user] = seq = self.last_seq.get(ask.user, 0) + 1
        balance, debt, _, _ = self.user(ask.user)
        values: dict[str, Any] = {
            "amount": abs(coins),
            "product": product,
            "quantity": ask.quantity,
        }
        values |= {"reference": ask.reference, "shortfall": None} | columns
        self.rows[ask.user, seq] = Row(
            kind=KINDS.get(ask.verb, ask.verb),
            key=ENDS.get(ask.verb, ask.key),
            status="failed" if code else "pending" if is_pending else "completed",
            code=code,
            target=ask.target if ask.verb == "reverse" or ask.verb in ENDS else None,
            balance=None if is_pending else balance,
            debt=None if is_pending else debt,
            held=None if product is None else self._held(ask.user, product),
            settled_seq=None if is_pending else seq,
            **values,
        )
        if ask.key is not None or ask.verb in ENDS:
            self.asked[_name(ask)] = ask, (ask.user, seq)
        return self._told((ask.user, seq), is_replay=False)

    def _told(self, place: Place, *, is_replay: bool) -> Answer:
        row = self.rows[place]
        if row.code and row.settled_seq == place[1]:
            return Refused(row.code, _data(row), is_replay)
        return self._booked(place, is_replay=is_replay)

    def _booked(self, place: Place, *, is_replay: bool) -> Done:
        row = self.rows[place]
        balance, debt, _, _ = self.user(place[0])
        if row.balance is not None and row.debt is not None:
            balance, debt = row.balance, row.debt
        product = self.products.get(row.product or 0)
        return Done(place, row, balance, debt, row.held, product, is_replay)

    def _held(self, user: int, product: int | None) -> int:
        return self.held.get((user, product or 0), 0)


def _name(ask: Ask) -> tuple[object, ...]:
    """What a second outcome is refused for: late settlements bear their target's name."""
    kind = KINDS.get(ask.verb, ask.verb)
    if ask.verb in ENDS:
        return ask.user, kind, ask.target, ENDS[ask.verb]
    return (ask.user, kind, ask.key) if ask.key is not None else ()


def _is_top_up(row: Row | None) -> bool:
    return row is not None and row.kind == "top_up"


def _data(row: Row) -> tuple[object, ...]:
    """What a decline tells besides its code."""
    told: dict[str | None, tuple[object, ...]] = {
        "INSUFFICIENT_FUNDS": (row.balance, row.amount),
        "BALANCE_LIMIT": (row.balance, LIMIT),
        "ALREADY_TAKEN": (("external_reference",),),
        "PRICE_CHANGED": (row.amount // (row.quantity or 1),),
        "NOT_ENOUGH_ITEMS": (str(row.product), row.held),
    }
    return told.get(row.code, (row.target,) if row.target else (str(row.product),))
