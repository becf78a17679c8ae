import pyarrow as pa

from totes.source.quarantine import LONGEST_VALUE, abridged


def test_long_text_is_cut_and_others_stay() -> None:
    texts = ["ä" * LONGEST_VALUE, "ä" * (LONGEST_VALUE + 1), "", None]
    rows = pa.table({"id": ["1", "2", "3", "4"], "text": pa.array(texts), "none": pa.array([None] * 4, pa.string())})
    made = abridged(rows)
    assert made.schema == rows.schema
    assert made.column("text").to_pylist() == [texts[0], f"{texts[0]}…", "", None]
    assert made.drop_columns("text") == rows.drop_columns("text")
