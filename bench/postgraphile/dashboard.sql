-- A quarter of every rep, as one would write it for PostGraphile. Served by rollup_months_month_idx.
CREATE SCHEMA IF NOT EXISTS peer;

CREATE OR REPLACE FUNCTION peer.team_sums(team uuid, first_month date, last_month date)
RETURNS TABLE (
    rank bigint, user_id uuid, user_name varchar, emails_sent bigint, emails_replied bigint, calls_logged bigint,
    calls_connected bigint, meetings_booked bigint, meetings_held bigint, conversations_recorded bigint,
    tasks_completed bigint, closed_won_count bigint, closed_won_amount numeric
) LANGUAGE sql STABLE AS $$
    WITH sums AS (
        SELECT r.user_id, sum(r.emails_sent)::bigint AS emails_sent, sum(r.emails_replied)::bigint AS emails_replied,
            sum(r.calls_logged)::bigint AS calls_logged, sum(r.calls_connected)::bigint AS calls_connected,
            sum(r.meetings_booked)::bigint AS meetings_booked, sum(r.meetings_held)::bigint AS meetings_held,
            sum(r.conversations_recorded)::bigint AS conversations_recorded,
            sum(r.tasks_completed)::bigint AS tasks_completed, sum(r.closed_won_count)::bigint AS closed_won_count,
            sum(r.closed_won_amount) AS closed_won_amount
        FROM rollup_months r
        WHERE r.team_id = team AND r.month BETWEEN first_month AND last_month GROUP BY r.user_id
    )
    SELECT rank() OVER (ORDER BY s.closed_won_amount DESC), s.user_id, u.name, s.emails_sent, s.emails_replied,
        s.calls_logged, s.calls_connected, s.meetings_booked, s.meetings_held, s.conversations_recorded,
        s.tasks_completed, s.closed_won_count, s.closed_won_amount
    FROM sums s JOIN users u ON u.team_id = team AND u.id = s.user_id
    ORDER BY s.closed_won_amount DESC
$$;
