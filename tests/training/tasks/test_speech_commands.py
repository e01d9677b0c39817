"""`speech-commands`: a tiny folder as the archive unpacks, its lists, and sounds that are not."""

import numpy as np
import pytest
from scipy.io import wavfile

from ssmspec.errors import SsmspecError, UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from tests.examples.tasks import WORDS, write_speech, write_wav


def load(folder):
    return TASKS["speech-commands"].load(TaskOptions(data=folder))


def test_lists_say_the_split_and_folders_the_word(tmp_path):
    write_speech(tmp_path)
    data = load(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 3, 3)
    assert (data.seq_len, data.d_output, data.sample_rate) == (16000, len(WORDS), 16000.0)
    for part, indices in ((data.validation, {0}), (data.test, {1}), (data.train, {2, 3})):
        batch = part.batch(np.arange(len(part)))
        samples = batch.x[:, :4, 0] * 2**15
        np.testing.assert_array_equal(samples[:, 0], batch.y)
        assert set(samples[:, 1].astype(int)) == indices
        assert (samples[:, 2:] == [-(2**15), 2**15 - 1]).all()
        assert (batch.x[:, 4:] == 0).all()


def test_samples_are_those_scipy_reads(tmp_path):
    write_speech(tmp_path)
    sound = np.random.default_rng(0).integers(-(2**15), 2**15, 20_000)
    write_wav(tmp_path / "bed" / "0.wav", sound)
    rate, samples = wavfile.read(tmp_path / "bed" / "0.wav")
    batch = load(tmp_path).validation.batch(np.array([0]))
    assert rate == 16000
    np.testing.assert_array_equal(batch.x[0, :, 0], samples[:16000] / np.float32(2**15))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"has no validation_list\.txt; speech-commands needs"):
        load(tmp_path)
    write_speech(tmp_path)
    (tmp_path / "testing_list.txt").write_text("bed/1.wav\nbed/77.wav\n")
    with pytest.raises(UsageError, match=r"names 1 file that is not there, such as bed/77\.wav"):
        load(tmp_path)
    (tmp_path / "testing_list.txt").write_text("")
    with pytest.raises(UsageError, match="names no file"):
        load(tmp_path)
    (tmp_path / "testing_list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)


def test_a_folder_without_words_is_refused(tmp_path):
    for name in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / name).write_text("bed/0.wav\n")
    write_wav(tmp_path / "bed" / "0.wav", [1])
    with pytest.raises(UsageError, match="fewer than two words"):
        load(tmp_path)


def test_lists_that_leave_nothing_to_learn_from_are_refused(tmp_path):
    write_speech(tmp_path, each=2)
    with pytest.raises(UsageError, match="no wav file that neither list names"):
        load(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:20])


def text(path):
    path.write_text("no sound")


def large(path):
    with path.open("ab") as file:
        file.truncate(2**24 + 1)


def slow(path):
    write_wav(path, [1, 2], rate=8000)


def stereo(path):
    write_wav(path, [1, 2], channels=2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is no wav file"),
        (text, "is no wav file"),
        (large, "larger than 16,777,216 bytes"),
        (slow, "1 channels of 16 bits at 8000 Hz"),
        (stereo, "2 channels"),
    ],
)
def test_a_damaged_sound_is_named_when_it_is_read(tmp_path, damage, message):
    write_speech(tmp_path)
    damage(tmp_path / "cat" / "0.wav")
    data = load(tmp_path)
    with pytest.raises(SsmspecError, match=message) as error:
        data.validation.batch(np.arange(3))
    assert "cat" in str(error.value)
