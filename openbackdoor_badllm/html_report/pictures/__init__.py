"""Pictures, each beside the numbers that it shows.

A picture function takes plain numbers and returns a :class:`~.canvas.Picture`; it touches no file and no state of
matplotlib that outlasts it. Colours are those of Okabe and Ito; markers, line styles and hatches say the same once
more, for grey print and for eyes that see no difference.

- ``canvas``: style, figure, SVG and PNG; ``inline``: an SVG made fit to stand inside a page
- ``lines``: what victims say of test rows; ``search``: rewards and flips; ``trace``: the victim's confidence
- ``robustness``, ``pairs``, ``cost``: benchmarks
"""
