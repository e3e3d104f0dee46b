"""The application that the demo watches: it writes an e-mail to a customer from what the CRM knows.

Three releases share the retrieval and differ in the prompt alone. v1 pours everything into the prompt and puts the
instructions last. v2 puts the instructions first and asks for a short e-mail that ends with a dated next step. v1.1
is the release that goes wrong: it saves tokens by leaving the contact out, and pushes for a decision.

The OpenAI client takes its endpoint and key from OPENAI_BASE_URL and OPENAI_API_KEY, the model from OPENAI_MODEL.
"""

from __future__ import annotations

import os
from functools import cache

import mlflow
import mlflow.openai
from mlflow.entities import Document, SpanType
from openai import OpenAI

from monitor.demo.crm import find_customer

TRACE_NAME = "generate_sales_email"
APP_VERSION_TAG = "tracewatch.app_version"
DEFAULT_MODEL = "gpt-5-mini"
MAX_TOKENS = 2000

PROMPT_V1 = """\
You are a sales assistant. Write a warm and complete e-mail to our customer. Use all the information below.

Customer: {customer_name}

Customer information:
{documents}

Instructions: {instructions}
"""

PROMPT_V1_1 = """\
You are a sales assistant. Be blunt and push the customer for a decision.

Customer: {customer_name}

Customer information:
{documents}

Instructions: {instructions}
"""

PROMPT_V2 = """\
You are a sales assistant. Do what the instructions ask before anything else.

Instructions: {instructions}

Customer: {customer_name}

Customer information:
{documents}

Write an e-mail that
- greets the contact by the first name,
- uses only what is relevant to the instructions,
- is short: a few sentences, no filler,
- ends with a specific next step with a date or time.
"""


@mlflow.trace(name=TRACE_NAME)
def generate_sales_email_v1(customer_name: str, user_instructions: str) -> dict[str, str]:
    """The first release. Returns {"email": the text}, for an unknown customer a general one."""
    _name_version("v1")
    documents = retrieve_customer_info(customer_name)
    return {"email": _write(PROMPT_V1, customer_name, user_instructions, documents)}


@mlflow.trace(name=TRACE_NAME)
def generate_sales_email_v1_1(customer_name: str, user_instructions: str) -> dict[str, str]:
    """The release that goes wrong: no contact in the prompt, and a push for a decision. Returns {"email": the text}."""
    _name_version("v1.1")
    documents = retrieve_customer_info(customer_name)
    return {"email": _write(PROMPT_V1_1, customer_name, user_instructions, documents[:1])}


@mlflow.trace(name=TRACE_NAME)
def generate_sales_email_v2(customer_name: str, user_instructions: str) -> dict[str, str]:
    """The second release. Returns {"email": the text}, or {"error": why} for a customer that the CRM does not know."""
    _name_version("v2")
    documents = retrieve_customer_info(customer_name)
    if not documents:
        return {"error": f"There is no customer named {customer_name!r}."}
    return {"email": _write(PROMPT_V2, customer_name, user_instructions, documents)}


@mlflow.trace(span_type=SpanType.RETRIEVER)
def retrieve_customer_info(customer_name: str) -> list[Document]:
    """Meeting notes, support status, and contact with account manager; nothing for an unknown customer."""
    customer = find_customer(customer_name)
    if customer is None:
        return []
    texts = {
        "meeting": customer.meeting,
        "support": customer.support,
        "contact": f"Contact: {customer.contact}. Account manager: {customer.account_manager}.",
    }
    return [
        Document(id=f"{customer.slug}/{kind}", page_content=text, metadata={"doc_uri": f"crm://{customer.slug}/{kind}"})
        for kind, text in texts.items()
    ]


def _name_version(version: str) -> None:
    mlflow.update_current_trace(tags={APP_VERSION_TAG: version})


def _write(prompt: str, customer_name: str, instructions: str, documents: list[Document]) -> str:
    text = prompt.format(
        customer_name=customer_name,
        instructions=instructions,
        documents="\n".join(f"- {document.page_content}" for document in documents) or "- nothing is known",
    )
    client = _traced_client(os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY"))
    completion = client.chat.completions.create(
        model=os.environ.get("OPENAI_MODEL", DEFAULT_MODEL),
        messages=[{"role": "user", "content": text}],
        max_completion_tokens=MAX_TOKENS,
    )
    return completion.choices[0].message.content or ""


@cache
def _traced_client(base_url: str | None, api_key: str | None) -> OpenAI:
    mlflow.openai.autolog()
    return OpenAI(base_url=base_url, api_key=api_key)
