import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import config
from app.config import GRACE_RESERVE_SECONDS, Settings, check_order, load
from app.errors import SettingsError, UsageError

DEFAULTS = Settings()
ORDER = [
    "FLEET_SOFT_LIMIT_SECONDS",
    "FLEET_GRACE_SECONDS",
]


def in_order(limits: list[float]) -> bool:
    """The rule as the issue states it, written once more."""
    soft, grace = limits
    return soft < grace - 15


class TestLoad:
    def test_defaults_can_work(self) -> None:
        assert load({}) == DEFAULTS

    def test_reads_the_environment_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        config.settings.cache_clear()
        monkeypatch.setenv("FLEET_MAX_ATTEMPTS", "7")
        try:
            assert config.settings().max_attempts == 7
            monkeypatch.setenv("FLEET_MAX_ATTEMPTS", "8")
            assert config.settings().max_attempts == 7
        finally:
            config.settings.cache_clear()

    def test_reads_text_as_the_settings_kind(self) -> None:
        read = load(
            {"FLEET_REDIS_URL": "redis://x/0", "FLEET_MAX_PAGES": "12", "FLEET_RETRY_BACKOFF_SECONDS": "0.25"}
        )
        assert (read.redis_url, read.max_pages, read.retry_backoff_seconds) == ("redis://x/0", 12, 0.25)

    def test_leaves_other_variables_alone(self) -> None:
        assert load({"PATH": "/bin", "fleet_max_pages": "0", "MY_FLEET_MAX_PAGES": "0"}) == DEFAULTS

    def test_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(AttributeError):
            load({}).max_pages = 1  # type: ignore[misc]  # the point of the test

    def test_refuses_unknown_names(self) -> None:
        with pytest.raises(
            SettingsError, match=r"^There is no setting FLEET_MAX_PAGE, FLEET_QUEUE: docs/settings"
        ):
            load({"FLEET_QUEUE": "pdf", "FLEET_MAX_PAGE": "3", "FLEET_MAX_PAGES": "3"})

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("FLEET_MAX_PAGES", "many", "Expected `int`, got `str`"),
            ("FLEET_MAX_PAGES", "", "Expected `int`, got `str`"),
            ("FLEET_MAX_PAGES", "1.5", "Expected `int`, got `str`"),
            ("FLEET_MAX_PAGES", "0", "Expected `int` >= 1"),
            ("FLEET_MAX_RETRIES", "-1", "Expected `int` >= 0"),
            ("FLEET_GRACE_SECONDS", "soon", "Expected `float`, got `str`"),
            ("FLEET_GRACE_SECONDS", "0", "Expected `float` > 0.0"),
            ("FLEET_GRACE_SECONDS", "-3", "Expected `float` > 0.0"),
            ("FLEET_GRACE_SECONDS", "nan", "Expected `float` > 0.0"),
            ("FLEET_GRACE_SECONDS", "inf", "Expected `float` <= 31622400.0"),
            ("FLEET_OCR_DPI", "71", "Expected `int` >= 72"),
            ("FLEET_OCR_DPI", "601", "Expected `int` <= 600"),
            ("FLEET_FLOOD_CHUNK", "2001", "Expected `int` <= 2000"),
            ("FLEET_SANDBOX_MEMORY_BYTES", "1000", "Expected `int` >= 268435456"),
            ("FLEET_LOG_LEVEL", "info", "Invalid enum value 'info'"),
            ("FLEET_KEY_PREFIX", "", "Expected `str` of length >= 1"),
        ],
    )
    def test_refuses_a_value_of_the_wrong_kind(self, name: str, value: str, reason: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load({name: value})
        assert caught.value.message == f"{name}={value!r} cannot be used: {reason}."

    @given(st.sampled_from(Settings.__struct_fields__), st.text(max_size=12))
    def test_any_text_is_used_or_refused_with_a_sentence(self, field: str, value: str) -> None:
        name = f"FLEET_{field.upper()}"
        outcome: Settings | str
        try:
            outcome = load({name: value})
        except SettingsError as refused:
            outcome = refused.message
        if isinstance(outcome, str):
            assert f"{name}={value!r} cannot be used: " in outcome or " must be less than " in outcome
        else:
            assert msgspec.convert(msgspec.to_builtins(outcome), Settings) == outcome


class TestOrder:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            (
                "FLEET_SOFT_LIMIT_SECONDS",
                "540",
                "FLEET_SOFT_LIMIT_SECONDS (540 s) must be less than FLEET_GRACE_SECONDS - 15 (540 s).",
            ),
            (
                "FLEET_GRACE_SECONDS",
                "490.5",
                "FLEET_SOFT_LIMIT_SECONDS (480 s) must be less than FLEET_GRACE_SECONDS - 15 (475.5 s).",
            ),
        ],
    )
    def test_refuses_limits_in_the_wrong_order_with_their_numbers(
        self, name: str, value: str, message: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            load({name: value})
        assert caught.value.message == message

    def test_reserve_is_what_the_documentation_says(self) -> None:
        assert GRACE_RESERVE_SECONDS == 15

    @given(st.lists(st.floats(1, 2_000), min_size=2, max_size=2), st.booleans())
    def test_accepts_exactly_the_limits_in_order(self, limits: list[float], increasing: bool) -> None:
        limits = sorted(limits) if increasing else limits
        given_limits = dict(zip(ORDER, map(str, limits), strict=True))
        if in_order(limits):
            check_order(load(given_limits))
        else:
            with pytest.raises(SettingsError, match="must be less than"):
                load(given_limits)


def test_an_address_that_is_needed_and_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="Set FLEET_REDIS_URL to the Redis server of the fleet"):
        Settings().require("redis_url")
    assert Settings(store_url="file:///x").require("store_url") == "file:///x"


def test_a_wrong_setting_ends_a_command_as_usage() -> None:
    assert issubclass(SettingsError, UsageError)
    assert SettingsError.exit_code == 2


class TestSecondsPerDocument:
    def test_are_read_by_queue(self) -> None:
        assert load({"FLEET_SECONDS_PER_DOCUMENT": "pdf=0.5,ocr=2"}).expected_seconds == {
            "pdf": 0.5,
            "ocr": 2.0,
        }
        assert DEFAULTS.expected_seconds == {}

    @pytest.mark.parametrize("value", ["0.5", "pdf=", "pdf=.5", "pdf=1,", "pdf=1 ocr=2", "pdf=-1"])
    def test_of_another_form_are_refused(self, value: str) -> None:
        with pytest.raises(SettingsError, match="FLEET_SECONDS_PER_DOCUMENT"):
            load({"FLEET_SECONDS_PER_DOCUMENT": value})
