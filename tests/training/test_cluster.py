# SPDX-License-Identifier: MIT
import pytest

from keras_vit import UserError
from keras_vit.training.cluster import Cluster, cluster_of

KERAS = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234,10.0.0.2:1234",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}


def test_alone():
    assert cluster_of({}) == Cluster()
    assert cluster_of({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "a"}) == Cluster()
    assert cluster_of({"SLURM_NTASKS": "4"}).count == 1  # `salloc`, before any `srun`
    assert cluster_of({"TPU_WORKER_HOSTNAMES": "localhost"}).count == 1


def test_keras_variables():
    cluster = cluster_of(KERAS)
    assert (cluster.index, cluster.count, cluster.address) == (1, 2, "10.0.0.1:1234")
    assert not cluster.leads


@pytest.mark.parametrize(
    "wrong",
    [
        {"KERAS_DISTRIBUTION_PROCESS_ID": "2"},
        {"KERAS_DISTRIBUTION_PROCESS_ID": "-1"},
        {"KERAS_DISTRIBUTION_PROCESS_ID": ""},
        {"KERAS_DISTRIBUTION_NUM_PROCESSES": "two"},
        {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "host"},
    ],
)
def test_incomplete_variables_are_refused(wrong):
    with pytest.raises(UserError, match="expected JOB_ADDRESSES as host:port"):
        cluster_of({**KERAS, **wrong})


def test_slurm_and_tpu():
    slurm = {"SLURM_NTASKS": "8", "SLURM_PROCID": "3", "SLURM_STEP_NODELIST": "n[1-8]"}
    assert cluster_of(slurm) == Cluster(3, 8, None, "SLURM_NTASKS")
    tpu = {"TPU_WORKER_HOSTNAMES": "a,b,c,d", "TPU_WORKER_ID": "0"}
    assert cluster_of(tpu) == Cluster(0, 4, None, "TPU_WORKER_HOSTNAMES")
