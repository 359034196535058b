"""A task of lm-eval that lies on this disk: which word comes next, of two."""

import json

TASK = """
task: toy_words
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
fewshot_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["mipba", "lunde"]
doc_to_target: label
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 1.5}}
"""


def toy_task(folder):
    """Write the task with 8 questions and return its folder."""
    folder.mkdir()
    file = folder / "rows.jsonl"
    rows = [{"question": f"what is {n}", "label": n % 2} for n in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "toy_words.yaml").write_text(TASK.format(file=file))
    return folder
