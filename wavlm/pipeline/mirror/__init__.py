"""Artifacts in a mirror: pushed from a store, fetched into another one, and compared.

    <mirror>/objects/<2 digits>/<sha256>      the bytes of one file, whoever has it
    <mirror>/artifacts/<kind>/<key>.json      what an artifact is made of; written last
    <mirror>/artifacts/zz-gc/<token>.json     somebody deletes what nobody names

An object is named by its digest, so two who write it write the same, and what several generations share is there once.
An artifact is there when its entry is. No entry is ever half of one push and half of another.
"""
