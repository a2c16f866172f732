"""Bringing a city's own files of assets into the register, all or nothing.

1. `reading` opens a file (CSV, GeoJSON, GeoPackage) and gives its rows one by one, with line
   numbers, under the names that the file gives its columns. A file that is broken as a whole is
   refused there.
2. `judging` makes an asset of each row, or says why it cannot be one: that row is put aside.
3. `merging` copies what came into a temporary table and compares it with the register: what is
   new, changed, moved, there again, gone. Nothing is written by comparing.
4. `running` decides whether the whole is believable, and applies it or only tells the difference.

What a person corrected is kept: beside each asset stands what the city's file said last, and only
what the file says differently from then is taken over.
"""
