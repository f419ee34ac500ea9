"""The model card credits every corpus and warns of unusual behaviour."""

from dataclasses import replace

from tests.nn.networks import base, large
from wavlm.export.card import Card, model_card
from wavlm.export.facts import Origin

CORPUS = Origin(
    name="voices",
    role="speech",
    license="CC BY 4.0 | or other",
    homepage="https://example.org/voices",
    citation="A. Speaker:\nVoices, 2020",
)
CARD = Card(
    name="iteration2",
    key="0123456789ab",
    origins=(CORPUS,),
    lineage=("corpus/voices-aaaaaaaaaaaa", "pretrain/iteration2-0123456789ab"),
    numbers={"masked accuracy": 0.41, "updates": 400},
)


def test_the_card_names_corpora_licences_citations_lineage_and_numbers() -> None:
    text = model_card(CARD, base())
    for fact in (
        r"| voices | speech | CC BY 4.0 \| or other | https://example.org/voices |",
        "- A. Speaker: Voices, 2020",
        "- `corpus/voices-aaaaaaaaaaaa`",
        "| masked accuracy | 0.41 |",
        "WavLMModel.from_pretrained",
        "an utterance changes when it is padded",
    ):
        assert fact in text
    assert text.startswith("---\nlibrary_name: transformers\n")


def test_the_card_of_a_normalising_network_tells_of_the_two_eps() -> None:
    assert "1e-7" in model_card(CARD, large(normalize_waveform=True))
    assert "1e-7" not in model_card(CARD, base())


def test_the_card_of_a_network_without_gates_says_hubert() -> None:
    text = model_card(CARD, base(gated_bias=False))
    assert "HubertModel" in text
    assert "WavLM" not in text


def test_results_on_synthetic_speech_stand_apart_from_those_that_are_claims() -> None:
    columns = ("model", "ks-small", "overall")
    card = replace(
        CARD,
        results=(columns, ("one", "50.00 %", "50.0")),
        synthetic_results=(("model", "er-small"), ("one", "90.00 %")),
        result_notes=("A note.",),
        centres="Where layers are.",
    )
    text = model_card(card, base())
    claims, apart = text.split("## Results on synthetic speech, which are no claims")
    assert "| one | 50.00 % | 50.0 |" in claims.split("## Results of evaluations")[1]
    assert "90.00 %" not in claims
    assert apart.lstrip().startswith("| model | er-small |\n| --- | --- |\n| one | 90.00 % |\n\nWhere layers are.\n\n")
    shown, folded = apart.split("<details>")  # Markdown within it needs empty lines around
    assert "A note." not in shown
    assert folded.split("</details>")[0].endswith("</summary>\n\n- A note.\n\n")
    only = model_card(replace(card, results=()), base())
    assert "## Results of evaluations" not in only
    assert "90.00 %" in only
