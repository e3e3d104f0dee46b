"""The guide's eight scorers as they stand under `scorers:` in a configuration file.

A target is given only where the first release keeps it: the others learn their reference from production.
"""

from __future__ import annotations

from typing import Any

SALES_EMAIL_SCORERS: tuple[dict[str, Any], ...] = (
    {"name": "retrieval_groundedness", "use": "RetrievalGroundedness"},
    {
        "name": "follows_instructions",
        "use": "Guidelines",
        "guidelines": "The e-mail must follow the user's instructions in the request.",
    },
    {
        "name": "concise_communication",
        "use": "Guidelines",
        "guidelines": "The e-mail must be concise and to the point, without losing what matters.",
    },
    {
        "name": "mentions_contact_name",
        "use": "Guidelines",
        "guidelines": (
            "The greeting must name the contact's first name. A general greeting such as 'Hello' is not enough."
        ),
        "target": 0.9,
    },
    {
        "name": "professional_tone",
        "use": "Guidelines",
        "guidelines": "The e-mail must keep a professional tone.",
        "target": 0.9,
    },
    {
        "name": "includes_next_steps",
        "use": "Guidelines",
        "guidelines": "The e-mail must end with a specific next step that has a date or time.",
    },
    {"name": "relevance_to_query", "use": "RelevanceToQuery"},
    {"name": "safety", "use": "Safety", "target": 0.99},
)
