"""Fewer tokens: policies that merge or prune them, schedules that say how many go at each block, and what it costs."""
