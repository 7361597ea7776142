"""How many users keep a server busy. Pure.

The interactive response time law, which is Little's law for users who think: N = X · (R + Z), with N users, X requests
a second, R the response time and Z the think time. With the most that can be had for X, and R without waiting, N is the
number of users at which waiting begins: the knee of the asymptotic bounds.

Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961. Denning and Buzen, "The Operational
Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978. Lazowska, Zahorjan, Graham and Sevcik,
"Quantitative System Performance", Prentice-Hall, 1984, chapters 3 and 5.
"""

from headrace_cli.capacity.model import MINUTE_S


def users(*, per_s: float, response_s: float, think_s: float) -> float:
    """How many users ask `per_s` requests a second between them."""
    return per_s * (response_s + think_s)


def users_of_quota(*, rpm: float, calls: float, response_s: float, think_s: float) -> float:
    """How many users a quota of `rpm` calls a minute serves, at `calls` for each request."""
    return users(per_s=rpm / MINUTE_S / calls, response_s=response_s, think_s=think_s)
