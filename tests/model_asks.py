"""What may be asked of an economy at random: small numbers, so that they meet often."""

from typing import Any

from hypothesis import strategies as st

from tests.economy_model import LIMIT
from tests.model_words import Ask

NEW_KEY = "new"  # one that nobody has used
TOP_UPS, PURCHASES = 0, 1  # what a target is one of, and how many of them are newer
ANY_OF_MINE, A_STRANGERS = 4, 5  # instead of a count: targets that are not what the ask is for

# Users and products are numbers here. The last user and product are none; the last user but one
# is deleted.
users = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 0, 3, 4])
products = st.sampled_from([0, 0, 0, 0, 0, 1, 2, 2, 3])
quantities = st.sampled_from([1, 2, 3])
amounts = st.sampled_from([100, 250, 60, 1, 500, LIMIT - 100])
keys = st.sampled_from([NEW_KEY, NEW_KEY, NEW_KEY, "a", "b"])
references = st.sampled_from([None, "r", "r", "s"])
numbers = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, ANY_OF_MINE, A_STRANGERS])
policies = st.sampled_from(["take_what_is_left", "refuse"])


@st.composite
def _drawn(draw: st.DrawFn, verb: str, fields: dict[str, st.SearchStrategy[Any]]) -> Ask:
    return Ask(verb, **{name: draw(values) for name, values in fields.items()})


def _ask(verb: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Ask]:
    return _drawn(verb, fields)


_money = {"user": users, "key": keys, "amount": amounts}
_items = {"user": users, "key": keys, "product": products, "quantity": quantities}
_unkeyed = _items | {"key": keys | st.none()}
_top_up = {"user": users, "target": st.tuples(st.just(TOP_UPS), numbers)}
_reversal = {"user": users, "key": keys, "if_spent": policies}
_again = (
    _ask("again", target=st.tuples(st.just(0), numbers)),
    _ask("again", target=st.tuples(st.just(0), numbers), key=st.just(NEW_KEY)),
)
MONEY: st.SearchStrategy[Ask] = st.one_of(
    _ask("add", **_money, reference=references),
    _ask("begin", **_money, reference=references),
    _ask("complete", **_top_up),
    _ask("fail", **_top_up),
    _ask("reverse", **_reversal, target=st.tuples(st.just(TOP_UPS), numbers)),
    _ask("debit", **_money),
    _ask("expire"),
    *_again,
)
ITEMS: st.SearchStrategy[Ask] = st.one_of(
    _ask("purchase", **_unkeyed),
    _ask("purchase", **_unkeyed, expected_price=st.just(100)),
    _ask("use", **_unkeyed),
    _ask("reverse", **_reversal, target=st.tuples(st.just(PURCHASES), numbers)),
    _ask("grant", **_items),
    _ask("revoke", **_items),
    *_again,
)
EDITS: st.SearchStrategy[Ask] = st.one_of(
    _ask(
        "edit",
        product=products,
        price=st.sampled_from([0, 60, 100, 250]),
        is_active=st.sampled_from([True, True, False]),
    ),
    _ask("delete", user=st.sampled_from([4, 3, 2, 2, 1])),
)
# alternatives within alternatives count as one
ANYTHING: st.SearchStrategy[Ask] = st.sampled_from([ITEMS, MONEY, ITEMS, MONEY, EDITS]).flatmap(
    lambda asks: asks
)
