"""The parser's parts: the cursor over tokens, expressions, clauses. :mod:`pysync_web.sdbql.parser` joins them.

Left-associative chains are read in a loop and may be long; all other nesting is counted and bounded.
"""
