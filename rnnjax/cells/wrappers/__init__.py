"""Cells around a cell: dropout, zoneout, residual and highway connections, attention, starts."""
