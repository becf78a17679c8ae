'use strict';

// The alarms that undo an update: TOTES_ROLLBACK_ALARMS, ARNs with spaces between. CloudFormation watches them for a
// while after it has changed everything. They must exist and be quiet before that, so they are named from outside:
// .github/workflows/deploy-stage.yml finds out which ones are.

// The time of three executions at the usual rate.
const WATCHED_MINUTES = 15;

module.exports = () => {
  const arns = (process.env.TOTES_ROLLBACK_ALARMS || '').split(/\s+/).filter(Boolean);
  return {
    MonitoringTimeInMinutes: arns.length ? WATCHED_MINUTES : 0,
    // Without a list, even an empty one, CloudFormation keeps the alarms of the previous update.
    RollbackTriggers: arns.map((Arn) => ({ Arn, Type: 'AWS::CloudWatch::Alarm' })),
  };
};
