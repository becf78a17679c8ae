'use strict';

// Alarms that undo an update: TOTES_ROLLBACK_ALARMS, their ARNs with blanks between. CloudFormation watches them for a
// while after it has changed everything. They must exist and be quiet before, so they are named from outside:
// .github/workflows/deploy-stage.yml asks which are.

// Three executions at the usual rate.
const WATCHED_MINUTES = 15;

module.exports = () => {
  const arns = (process.env.TOTES_ROLLBACK_ALARMS || '').split(/\s+/).filter(Boolean);
  return {
    MonitoringTimeInMinutes: arns.length ? WATCHED_MINUTES : 0,
    // CloudFormation remembers those of the update before unless it is given a list, be it empty.
    RollbackTriggers: arns.map((Arn) => ({ Arn, Type: 'AWS::CloudWatch::Alarm' })),
  };
};
