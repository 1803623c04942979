from crnn_jax import tasks
from crnn_jax.data import clips
from tests.networks import digits


def test_a_task_is_what_the_config_says(tiny_config):
    tiny_config.task.name, tiny_config.task.every_step = "product", True
    task = tasks.build(tiny_config, digits())
    assert (task.name, task.min_length, task.max_length, task.every_step) == ("product", 1, 4, True)
    assert task.question.kind == "number"
    assert task.question.steps == 4
    assert task.question.frame_shape == (28, 28, 1)
    assert task.question.recurrence == task.recurrence
    longer = tasks.build(tiny_config, digits(), 7)
    assert (longer.min_length, longer.max_length) == (7, 7)


def test_a_filmed_question_is_of_the_clips_frames(tiny_config):
    tiny_config.task.name, tiny_config.task.max_length = "caption", 1
    question = tasks.build(tiny_config, digits()).question
    assert (question.kind, question.frame_shape, question.steps) == ("symbols", (40, 40, 1), 8)
    assert (question.vocabulary, question.symbols) == (len(clips.VOCABULARY), clips.WORDS)
