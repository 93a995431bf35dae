"""The client against a server that answers as it is told."""

import asyncio
import email.utils
import logging
import tempfile
import time
import unittest

import hms_ops_client as ops
from tests.servers import Scripted

# Tests say when to send; nothing is sent by the clock.
NEVER = 3600


class ClientCase(unittest.TestCase):
    def setUp(self):
        logging.getLogger("hms_ops_client").setLevel(logging.CRITICAL)

    def serve(self, *script, **options):
        server = Scripted(*script)
        self.addCleanup(server.close)
        client = ops.Client(url=server.url, flush_seconds=NEVER, exit_seconds=2, **options)
        self.addCleanup(client.close)
        return server, client


class Timing(ClientCase):
    def test_a_block_is_timed_in_milliseconds(self):
        server, client = self.serve()
        before = time.time()
        with client.timer("county_api_ms"):
            pass
        self.assertTrue(client.flush())
        (sample,) = server.samples()
        self.assertEqual(sample["name"], "county_api_ms")
        self.assertIsInstance(sample["val"], float)
        self.assertTrue(0 <= sample["val"] < 10_000, sample)
        self.assertTrue(before - 1 <= sample["ts"] / 1e6 <= time.time() + 1, sample)

    def test_an_exception_is_timed_and_passes_through(self):
        server, client = self.serve()
        with self.assertRaises(KeyError):
            with client.timer("county_api_ms"):
                raise KeyError("county")
        self.assertTrue(client.flush())
        self.assertEqual(len(server.samples()), 1)

    def test_functions_are_timed_call_by_call(self):
        server, client = self.serve()

        @client.timer("double_ms", kind_of="plain")
        def double(number):
            """Doubles."""
            return double(number - 1) + 2 if number else 0

        self.assertEqual(double(3), 6)
        self.assertEqual((double.__name__, double.__doc__), ("double", "Doubles."))
        self.assertTrue(client.flush())
        self.assertEqual([sample["labels"] for sample in server.samples()], [{"kind_of": "plain"}] * 4)
        values = [sample["val"] for sample in server.samples()]
        self.assertEqual(values, sorted(values), "inner calls end first and take less")

    def test_async_functions_and_blocks_are_timed_until_they_end(self):
        server, client = self.serve()
        events = []

        @client.timer("function_ms")
        async def function(release):
            await release.wait()
            events.append("ended")
            return 7

        async def both():
            release = asyncio.Event()
            task = asyncio.ensure_future(function(release))
            async with client.timer("block_ms"):
                await asyncio.sleep(0)
            release.set()
            return await task

        self.assertEqual(asyncio.run(both()), 7)
        self.assertTrue(client.flush())
        self.assertEqual([sample["name"] for sample in server.samples()], ["block_ms", "function_ms"])

    def test_a_timer_may_be_used_again_inside_itself(self):
        server, client = self.serve()
        timer = client.timer("nested_ms")
        with timer:
            with timer:
                pass
        self.assertTrue(client.flush())
        inner, outer = server.samples()
        self.assertLess(inner["val"], outer["val"])

    def test_a_call_costs_the_caller_no_network(self):
        client = ops.Client(url="http://127.0.0.1:1", flush_seconds=NEVER)
        for _ in range(100):
            with client.timer("a_ms"):
                pass
        self.assertFalse(client.flush(0.05))
        client.close()


class Sending(ClientCase):
    def test_gauges_and_counters_carry_their_kind_and_labels(self):
        server, client = self.serve()
        client.gauge("queue_depth", 17, court="county", port=8080)
        client.counter("requests_total", 10 ** 6)
        self.assertTrue(client.flush())
        gauge, counter = server.samples()
        self.assertEqual((gauge["val"], gauge["labels"]), (17, {"court": "county", "port": "8080"}))
        self.assertNotIn("kind", gauge)
        self.assertEqual((counter["val"], counter["kind"]), (1000000, "counter"))

    def test_what_cannot_be_sent_is_left_out_and_counted(self):
        class Hostile:
            def __str__(self):
                raise RuntimeError("no text")

            __float__ = __str__

        server, client = self.serve()
        for value in (float("nan"), float("inf"), 10 ** 400, "fast", None, Hostile()):
            client.gauge("a", value)
        client.gauge("a", 1, label=Hostile())
        client.gauge(7, 1)
        client.gauge("good", 1)
        self.assertTrue(client.flush())
        self.assertEqual([sample["name"] for sample in server.samples()], ["good"])
        self.assertEqual(client.stats()["invalid"], 8)

    def test_one_connection_is_kept(self):
        server, client = self.serve()
        for _ in range(3):
            client.gauge("a", 1)
            self.assertTrue(client.flush())
        self.assertEqual(len({port for port, _, _ in server.requests}), 1)

    def test_an_unanswered_batch_comes_again_under_its_number(self):
        server, client = self.serve(None, (503, {"Retry-After": "0"}, "{}"), (429, {}, "{}"))
        client.gauge("a", 1)
        self.assertTrue(client.flush(20))
        client.gauge("a", 2)
        self.assertTrue(client.flush(20))
        numbers = [(headers["Ops-Client"], headers["Ops-Batch"]) for _, headers, _ in server.requests]
        self.assertEqual([number for _, number in numbers], ["1", "1", "1", "1", "2"])
        self.assertEqual(len(set(client for client, _ in numbers)), 1)
        self.assertEqual((client.stats()["sent"], client.stats()["retries"]), (2, 3))

    def test_refused_samples_are_counted_and_not_sent_again(self):
        server, client = self.serve((400, {}, '{"accepted": 1, "refused": 1, "errors": []}'))
        client.gauge("a", 1)
        client.gauge("b", 1)
        self.assertTrue(client.flush())
        self.assertEqual(len(server.requests), 1)
        self.assertEqual((client.stats()["sent"], client.stats()["refused"]), (1, 1))

    def test_a_full_queue_drops_the_oldest_and_counts_them(self):
        server, client = self.serve(queue_samples_max=10)
        # The thread that sends cannot take the lock, so the queue fills.
        with client._sender:
            for value in range(25):
                client.gauge("a", value)
            self.assertEqual((client.stats()["dropped"], client.stats()["queued"]), (15, 10))
        self.assertTrue(client.flush())
        self.assertEqual([sample["val"] for sample in server.samples()], list(range(15, 25)))
        self.assertEqual(client.stats()["dropped"], 15)

    def test_many_samples_become_several_bounded_batches(self):
        server, client = self.serve()
        for value in range(1201):
            client.gauge("a", value)
        self.assertTrue(client.flush())
        self.assertEqual([sample["val"] for sample in server.samples()], list(range(1201)))
        self.assertLessEqual(max(len(batch) for _, _, batch in server.requests), ops.BATCH_SAMPLES_MAX)

    def test_a_full_interval_is_not_waited_for_when_much_is_gathered(self):
        server, client = self.serve()
        for value in range(ops.WAKE_AT_SAMPLES + 1):
            client.gauge("a", value)
        client.close(10)
        self.assertEqual(len(server.samples()), ops.WAKE_AT_SAMPLES + 1)

    def test_samples_after_close_start_again(self):
        server, client = self.serve()
        client.gauge("a", 1)
        client.close()
        client.gauge("a", 2)
        self.assertTrue(client.flush())
        self.assertEqual([sample["val"] for sample in server.samples()], [1, 2])

    def test_the_token_is_sent_from_memory_or_from_its_file(self):
        server, client = self.serve(token="s3cret")
        client.gauge("a", 1)
        self.assertTrue(client.flush())
        self.assertEqual(server.requests[0][1]["Authorization"], "Bearer s3cret")
        with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
            file.write("from file\n")
            file.flush()
            # A refusal makes it read the file again: the token may just have been changed.
            server, client = self.serve((401, {"Retry-After": "0"}, "{}"), token_file=file.name)
            client.gauge("a", 1)
            self.assertTrue(client.flush())
            for _, headers, _ in server.requests:
                self.assertEqual(headers["Authorization"], "Bearer from file")


class Settings(ClientCase):
    def test_retry_after_is_a_number_or_a_date_and_bounded(self):
        self.assertEqual(ops._retry_after("7"), 7)
        self.assertEqual(ops._retry_after("999999"), ops.RETRY_AFTER_SECONDS_MAX)
        date = email.utils.formatdate(time.time() + 100, usegmt=True)
        self.assertTrue(90 < ops._retry_after(date) <= 100)
        for text in (None, "", "soon", "nan"):
            self.assertEqual(ops._retry_after(text), ops.BACKOFF_SECONDS_FIRST)
        self.assertEqual(ops._retry_after("-5"), 0)

    def test_a_wrong_url_or_number_falls_back_to_the_default(self):
        for url in ("ftp://x", "localhost:9900", "http://", "http://h:port"):
            self.assertEqual(ops._Address.parse(url).shown, ops.DEFAULT_URL + "/metric")
        self.assertEqual(ops._Address.parse("https://ops.gov/base/").shown, "https://ops.gov:443/base/metric")
        for text in ("two", "-1", "0", "inf"):
            self.assertEqual(ops._seconds(None, text, 2.0), 2.0)
