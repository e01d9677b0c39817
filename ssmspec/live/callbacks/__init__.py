"""`SpectrumMonitor` for trainers that are not a plain loop: thin adapters, one library a file.

    from ssmspec.live.callbacks.lightning import SpectrumCallback
    trainer = Trainer(callbacks=[SpectrumCallback(every=100, folder="run")])

    from ssmspec.live.callbacks.transformers import SpectrumCallback
    trainer = Trainer(..., callbacks=[SpectrumCallback(every=100, folder="run")])

Neither library is needed by anything else here. Only the first process of several looks.
"""
