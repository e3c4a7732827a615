"""Several processes that train one network together: torchrun, torch.distributed, copies or shards of the weights."""
