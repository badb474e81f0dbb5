"""Reading data sets: files, layouts, labels, draws and checks. The door is :mod:`.dataset`."""
