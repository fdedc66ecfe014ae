"""Cells around a cell: dropout, zoneout, ways past it, attention, a learned carry."""
