"""What `wavlm init` does: look at speech that is there, choose numbers for it with reasons, and write the two files.

- `look.look_at(place, layout)`: what there is, found by content, without writing anything
- `advice.advise(found, machine)`: sizes and counts, each with its reason
- `write.write_project(...)`: a corpus spec and a recipe with comments, and a picture of the lengths
"""
