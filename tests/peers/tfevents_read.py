#!/usr/bin/env python3
"""Read an event file of Fledge with TensorBoard's own reader: python tests/peers/tfevents_read.py RUN_FOLDER

Prints tag, number of points, first and last; fails when there is nothing.
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
tags = events.Tags()["scalars"] + events.Tags()["tensors"]
for tag in tags:
    points = events.Scalars(tag) if tag in events.Tags()["scalars"] else events.Tensors(tag)
    print(tag, len(points), points[0], points[-1])
sys.exit(not tags)
