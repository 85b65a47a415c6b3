"""What is asked of the documents, natively and in a page, in our language."""

from __future__ import annotations

from typing import Any

LOOK_UPS = 100

QUERIES = {
    "equality": 'FOR p IN people FILTER p.address.city == "Graz" RETURN p',
    "top": "FOR p IN people FILTER p.age > 40 SORT p.score DESC, p.name LIMIT 20 RETURN p",
    "group": "FOR p IN people COLLECT city = p.address.city WITH COUNT INTO n RETURN {city, n}",
    "range": 'FOR p IN people FILTER p.created_at >= "2025-03-10" AND p.created_at < "2025-03-15" RETURN p',
    "indexed": "FOR p IN people FILTER p.email == @email RETURN p",
}


def some_emails(documents: dict[str, dict[str, Any]], count: int = LOOK_UPS) -> list[str]:
    """Give addresses that the documents have, far apart."""
    emails = [document["email"] for document in documents.values()]
    return emails[:: max(1, len(emails) // count)][:count]


async def answer(database: Any, name: str, emails: list[str]) -> list[Any]:
    """Ask one of the questions, the last one for each address."""
    if name != "indexed":
        rows: list[Any] = await database.query(QUERIES[name])
        return rows
    found = []
    for email in emails:
        found += await database.query(QUERIES[name], {"email": email})
    return found
