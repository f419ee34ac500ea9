"""Automations on the server, and the block that holds the address of a webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import JsonValue, SecretStr

from flows.deploy.automations import AFTER_PREPARE, LOST_RUNS, NOTIFICATIONS, REFRESH_DUE, read_automations
from flows.deploy.memory import recall, remember
from flows.deploy.wanted import Options
from wavlm.specs import Recipe
from wavlm.specs.identity import key_of

Report = Callable[[str], None]
BLOCK = "wavlm-webhook"
MEMORY = "wavlm_automations"
PAGE = 100


def apply_automations(
    client: SyncPrefectClient, recipe: Recipe, options: Options, training: UUID, report: Report
) -> None:
    """Make or change the automations. One that people changed, or switched off, stays as they left it.

    `training`: the deployment that they start, `refresh` in a weekly loop and else `pretrain`.
    """
    wanted = [*read_automations(LOST_RUNS)]
    if options.webhook:
        wanted += read_automations(NOTIFICATIONS, {"webhook": _save_webhook(client, options.webhook, report)})
    if options.after_prepare:
        values = {"recipe": recipe.name, "store": str(options.store), "pretrain": str(training)}
        wanted += read_automations(AFTER_PREPARE, values)
    if options.refresh_after_hours:
        values = {"recipe": recipe.name, "store": str(options.store), "refresh": str(training)}
        wanted += read_automations(REFRESH_DUE, values)
    applied = {} if options.reset else recall(client, MEMORY)
    current = {item.name: item for item in _read_all(client)}
    for automation in wanted:
        _apply(client, automation, current.get(automation.name), applied.get(automation.name), report)
    now = {**recall(client, MEMORY), **{item.name: _digest(item) for item in wanted}}
    remember(client, MEMORY, now)


def is_started_after_prepare(client: SyncPrefectClient, name: str) -> bool:
    """Whether the recipe of this name was deployed with `after_prepare`."""
    (automation,) = read_automations(AFTER_PREPARE, {"recipe": name, "store": "", "pretrain": str(UUID(int=0))})
    return automation.name in recall(client, MEMORY)


def _apply(
    client: SyncPrefectClient,
    wanted: AutomationCore,
    current: Automation | None,
    applied: JsonValue,
    report: Report,
) -> None:
    title = f"automation {wanted.name!r}"
    if current is None and applied == _digest(wanted):
        report(f"{title}: was removed in Prefect, and stays so; --reset undoes that")
    elif current is None:
        client.create_automation(wanted)
        report(f"{title}: made")
    elif _digest(current) == _digest(wanted):
        return
    elif applied == _digest(wanted):
        report(f"{title}: was changed in Prefect, and stays so; --reset undoes that")
    else:
        client.update_automation(current.id, wanted.model_copy(update={"enabled": current.enabled}))
        report(f"{title}: changed")


def _digest(automation: AutomationCore) -> str:
    """What an automation does, in short. Whether it is enabled is the owner's."""
    return key_of(_sort(automation.model_dump(mode="json", exclude={"id", "enabled", "owner_resource", "tags"})))


def _sort(tree: JsonValue) -> JsonValue:
    """A tree whose lists of words are in order: in Prefect they are sets."""
    if isinstance(tree, dict):
        return {key: _sort(value) for key, value in tree.items()}
    if isinstance(tree, list):
        words = [item for item in tree if isinstance(item, str)]
        return [*sorted(words), *(_sort(item) for item in tree if not isinstance(item, str))]
    return tree


def _read_all(client: SyncPrefectClient) -> Iterator[Automation]:
    offset = 0
    while page := client.read_automations(limit=PAGE, offset=offset):
        yield from page
        offset += len(page)


def _save_webhook(client: SyncPrefectClient, url: str, report: Report) -> str:
    """The id of the block that holds the URL. The server keeps it encrypted, and shows it to nobody."""
    try:
        found = client.read_block_document_by_name(BLOCK, Webhook.get_block_type_slug(), include_secrets=True)
    except ObjectNotFound:
        found = None
    if found and found.data.get("url") == url:
        return str(found.id)
    block_id = Webhook(url=SecretStr(url)).save(BLOCK, overwrite=True)
    report(f"webhook {BLOCK}: {'changed' if found else 'made'}")
    return str(block_id)
