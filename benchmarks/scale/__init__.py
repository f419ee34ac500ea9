"""What the pipeline costs at the paper's size: fake rows through the real code, one module per question.

`python -m benchmarks.scale` lists the modules, `python -m benchmarks.scale NAME [--size N]` runs one. Each has
`measure(size)`, which returns rows. docs/scale.md has the results.
"""

from benchmarks.scale.cost import Spent as Spent
from benchmarks.scale.cost import cost_of as cost_of
from benchmarks.scale.cost import growth_exponent as growth_exponent
from benchmarks.scale.cost import in_sizes as in_sizes
from benchmarks.scale.row import Row as Row
