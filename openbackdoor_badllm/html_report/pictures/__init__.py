"""Pictures of a page.

A picture function takes plain numbers and returns a :class:`~.canvas.Picture`; it touches no file and no state of
matplotlib that outlasts it. Colours are those of Okabe and Ito; markers, line styles and hatches say the same once
more, for grey print and for eyes that see no difference.
"""
