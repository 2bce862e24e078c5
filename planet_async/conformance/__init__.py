"""What a transport promises, as checks that anyone's own transport can run.

Each check is an async function of something that makes a transport for a `Config`.  It serves itself on
loopback, and raises AssertionError saying which promise is broken.  With pytest:

    from planet_async.conformance import CHECKS

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_transport_conforms(check):
        await check(MyTransport)

They run on asyncio and on trio, take a second or two in all, and need no pytest.
"""

from collections.abc import Awaitable, Callable

from planet_async.conformance.bodies import (
    a_body_is_not_unpacked,
    a_body_left_half_way_leaves_nothing,
    a_body_streams,
    a_body_that_breaks_off_is_an_error,
    a_response_that_nobody_reads_can_be_closed,
    an_answer_without_a_body_is_whole,
    announcements_are_passed_over,
    every_framing_is_read,
    headers_have_one_form,
)
from planet_async.conformance.call import Make
from planet_async.conformance.cancellation import (
    cancelled_anywhere_nothing_is_held,
    cancelled_by_asyncio_nothing_is_held,
    who_waits_in_line_can_leave,
)
from planet_async.conformance.connections import (
    a_connection_closed_while_idle_is_not_used,
    closing_at_any_time_leaves_nothing_open,
    closing_closes_all,
    connections_are_used_again,
    connections_to_others_make_room,
    no_more_connections_than_allowed,
    what_follows_an_answer_is_no_answer,
    what_the_server_gives_up_is_not_used,
    who_waits_in_line_when_it_closes_is_told,
)
from planet_async.conformance.failures import (
    a_body_that_is_not_taken_is_a_timeout,
    a_connection_that_breaks_off_is_lost,
    a_head_that_never_ends_is_a_timeout,
    a_slow_body_is_no_timeout,
    errors_show_no_query,
    no_connection_is_a_connect_error,
    nothing_is_sent_twice,
    silence_is_a_timeout,
    silence_on_a_used_connection_is_a_timeout,
)
from planet_async.conformance.sending import (
    a_large_request_arrives_whole,
    a_request_arrives_as_made,
    a_signed_address_is_sent_verbatim,
    redirects_are_returned,
    repeated_parameters_survive,
    the_environment_adds_nothing,
    what_is_no_address_is_refused,
    what_is_not_ascii_is_encoded,
)

Check = Callable[[Make], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    a_request_arrives_as_made,
    a_large_request_arrives_whole,
    repeated_parameters_survive,
    a_signed_address_is_sent_verbatim,
    what_is_not_ascii_is_encoded,
    what_is_no_address_is_refused,
    redirects_are_returned,
    the_environment_adds_nothing,
    every_framing_is_read,
    an_answer_without_a_body_is_whole,
    announcements_are_passed_over,
    a_body_streams,
    a_body_is_not_unpacked,
    a_body_that_breaks_off_is_an_error,
    headers_have_one_form,
    a_body_left_half_way_leaves_nothing,
    a_response_that_nobody_reads_can_be_closed,
    connections_are_used_again,
    connections_to_others_make_room,
    no_more_connections_than_allowed,
    a_connection_closed_while_idle_is_not_used,
    what_follows_an_answer_is_no_answer,
    what_the_server_gives_up_is_not_used,
    closing_closes_all,
    closing_at_any_time_leaves_nothing_open,
    who_waits_in_line_when_it_closes_is_told,
    no_connection_is_a_connect_error,
    a_connection_that_breaks_off_is_lost,
    nothing_is_sent_twice,
    silence_is_a_timeout,
    silence_on_a_used_connection_is_a_timeout,
    a_head_that_never_ends_is_a_timeout,
    a_slow_body_is_no_timeout,
    a_body_that_is_not_taken_is_a_timeout,
    errors_show_no_query,
    cancelled_anywhere_nothing_is_held,
    cancelled_by_asyncio_nothing_is_held,
    who_waits_in_line_can_leave,
)
"""All checks, one promise each."""
