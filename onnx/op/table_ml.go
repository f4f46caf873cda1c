package op

var mlTable = []*Def{
	opMlArrayFeatureExtractor,
	opMlBinarizer,
	opMlCastMap,
	opMlCategoryMapper,
	opMlDictVectorizer,
	opMlFeatureVectorizer,
	opMlImputer,
	opMlLabelEncoder,
	opMlLinearClassifier,
	opMlLinearRegressor,
	opMlNormalizer,
	opMlOneHotEncoder,
	opMlSVMClassifier,
	opMlSVMRegressor,
	opMlScaler,
	opMlTreeEnsemble,
	opMlTreeEnsembleClassifier,
	opMlTreeEnsembleRegressor,
	opMlZipMap,
}
